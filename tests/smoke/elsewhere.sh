# Sourced by the smoke scripts: a place away from the checkout, and a Python that has what is pinned but not this
# project. In the checkout's folder, or in an environment with its editable install, Spark's Python workers would
# import the rooms from there and the zip would go untested.
project=$(cd "$(dirname "$0")/../.." && pwd)
. "$project/.spark/env"
zip=$project/dist/seller_credit.zip
[ -f "$zip" ] || { echo "smoke: no dist/seller_credit.zip: run make dist" >&2; exit 2; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
packages=$(dirname "$SPARK_HOME")
python -m venv --without-pip "$scratch/python"
# A folder named in a .pth file is searched, but the .pth files inside it (the editable install's) are not read.
echo "$packages" > "$(echo "$scratch"/python/lib/python3*/site-packages)/packages.pth"
export PYSPARK_PYTHON=$scratch/python/bin/python
cd "$scratch"
if "$PYSPARK_PYTHON" -c 'import jobs' 2> /dev/null; then
    echo "smoke: the rooms can be imported without the zip; this would prove nothing" >&2
    exit 1
fi
# Relative arguments would mean another file from here: the job's own path is the checkout's.
job=$project/${1:?which job? for example jobs/daily.py}
shift
