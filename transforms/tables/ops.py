"""What ran, on what, and what it published."""

from transforms.tables.table import Column, Table

OUTPUT = "struct<table:string,slice:string,version:bigint,rows:bigint,bytes:bigint,files:bigint>"

RUNS = Table(
    "ops.runs",
    row="one run of one step; appended last, so that a table's newest version named here is what readers see",
    key=("run_id",),
    columns=(
        Column("run_id", "string not null", "step-sequence-random"),
        Column("sequence", "bigint not null", "order of publication in this lake, from 1"),
        Column("step", "string not null", "command that ran"),
        Column("slice", "string not null", "what it made, for example as_of=2024-09-01"),
        Column("identity", "string not null", "sha-256 of the step and its inputs: equal means nothing to do"),
        Column("arguments", "map<string,string> not null", "what the person or the scheduler asked for"),
        Column("inputs", "array<struct<table:string,version:bigint>> not null", "tables read, with their versions"),
        Column("outputs", f"array<{OUTPUT}> not null", "tables written, with version and cost"),
        Column("figures", "map<string,double> not null", "numbers that the step reports"),
        Column("facts", "map<string,string> not null", "what later steps go by, for example closed_through"),
        Column("started_at", "timestamp not null", "UTC"),
        Column("seconds", "double not null", "wall time"),
        Column(
            "peak_memory_bytes",
            "bigint",
            "largest resident memory of the driver's processes, Python and JVM, from their start to this run's end;"
            " null where the system does not tell",
        ),
        Column("code_version", "string not null", "git commit, or package version outside a checkout"),
        Column("settings_digest", "string not null", "sha-256 of the settings"),
        Column(
            "cost",
            "map<string,double>",
            "by Spark's account: rows_read, bytes_read, bytes_shuffled, bytes_spilled, tasks, processor_seconds,"
            " largest_task_bytes of execution memory; stages_forgotten above 0 where they are at least so much",
        ),
    ),
)
