# Databricks notebook source
# MAGIC %md
# MAGIC # A first look: from a ledger to one seller's credit record
# MAGIC
# MAGIC Every cell calls the function that the command of the same name calls. It needs a lake with a champion: run
# MAGIC `make demo` first, or name yours in `SELLER_CREDIT_LAKE__ROOT` and `SELLER_CREDIT_MLFLOW__TRACKING_URI`.

# COMMAND ----------

import os

from conf.policy import load_policy
from conf.settings import PROFILE_VARIABLE, load_settings
from jobs.decide import decide
from jobs.features import features
from jobs.lakehouse.lake import Lake
from jobs.lakehouse.session import spark_session
from jobs.pages.text import to_text
from jobs.record import record
from jobs.score import score
from jobs.status import status
from transforms.tables.bronze import DELIVERIES, QUARANTINE
from transforms.tables.gold import DECISIONS, SCORES

settings = load_settings(os.environ.get(PROFILE_VARIABLE, "local"), os.environ)
lake = Lake(spark_session(settings), settings)
status(lake).show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## What came in
# MAGIC Every record of a delivery is accepted, a repeat, or quarantined with its reasons.

# COMMAND ----------

lake.read(DELIVERIES).orderBy("name", ascending=False).select(
    "name", "records_in", "accepted", "duplicate", "quarantined"
).show(5)
lake.read(QUARANTINE).selectExpr("explode(reasons) as reason").groupBy("reason").count().orderBy(
    "count", ascending=False
).show(10, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Features, scores and offers as of the newest day
# MAGIC A step that has run on the same inputs says so and changes nothing.

# COMMAND ----------

as_of = lake.require_run("decide", None, "Run `seller-credit decide` first.").as_of
policy = load_policy("standard")
for report in (features(lake, as_of), score(lake, as_of), decide(lake, as_of, policy)):
    report.show()

# COMMAND ----------

lake.read(SCORES).where(f"as_of = '{as_of}'").selectExpr(
    "min(score)", "percentile(score, 0.5) as median", "max(score)", "avg(pd)"
).show()
lake.read(DECISIONS).where(f"as_of = '{as_of}'").groupBy("outcome", "refused_by").count().orderBy("count").show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## One seller

# COMMAND ----------

seller = lake.read(DECISIONS).where(f"as_of = '{as_of}'").orderBy("outcome", "seller_id").first()["seller_id"]
print(to_text(record(lake, seller, as_of)))
