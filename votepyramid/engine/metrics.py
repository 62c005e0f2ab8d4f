"""What the engine counts. Labels are kinds of work, never elections' contents."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

QUEUED = Gauge(
    "votepyramid_gateway_queue_items",
    "Votes or claims waiting for a group to start",
    ["line"],
    multiprocess_mode="livesum",
)
GROUPS = Gauge(
    "votepyramid_gateway_groups_running",
    "Groups started and not yet answered",
    ["line"],
    multiprocess_mode="livesum",
)
GROUP_SIZE = Histogram(
    "votepyramid_gateway_group_items",
    "Votes or claims a group",
    ["line"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
GROUP_SECONDS = Histogram(
    "votepyramid_gateway_group_seconds",
    "From taking a group off the queue to its last answer",
    ["line"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
START_RETRIES = Counter(
    "votepyramid_gateway_start_retries_total",
    "Workflow starts that were tried again",
    ["line"],
)
CALLERS = Gauge(
    "votepyramid_gateway_callers_items",
    "Requests that wait inside, each with a thread of the web server",
    multiprocess_mode="livesum",
)
CALLERS_LIMIT = Gauge(
    "votepyramid_gateway_callers_limit_items",
    "How many may: waiting_bound of every web process",
    multiprocess_mode="livesum",
)
LISTENING = Gauge(
    "votepyramid_gateway_listening",
    "1 while a web process hears of commits; 0 while it looks at the tables instead",
    multiprocess_mode="livemin",
)
SHED = Counter(
    "votepyramid_gateway_shed_total",
    "Requests refused because the queue was full or groups were stuck",
    ["line"],
)
ARCHIVED = Gauge(
    "votepyramid_histories_archived_timestamp_seconds",
    "When the archive of workflow histories was last brought up to date",
    multiprocess_mode="livemostrecent",
)
ARCHIVE_OVERDUE = Gauge(
    "votepyramid_histories_archive_overdue",
    "1 while a run of the archive is missed, or two would outlast the retention",
    multiprocess_mode="livemax",
)
ARCHIVE_LOOKED_AT = Gauge(
    "votepyramid_histories_looked_at_timestamp_seconds",
    "When a worker last looked whether the archive is up to date; else 0",
    multiprocess_mode="livemax",
)

VOTES = Counter(
    "votepyramid_votes_decided_total",
    "Votes that a recording step has decided; once more when the step is repeated",
    ["outcome"],
)
CLAIMS = Counter(
    "votepyramid_claims_decided_total",
    "Claims that an issuing step has decided; once more when the step is repeated",
    ["outcome"],
)
RECEIPTS = Counter(
    "votepyramid_receipts_asked_total",
    "Receipts that somebody asked for, by what is known of the vote",
    ["answer"],
)

# A step is local while all is well, and regular, one attempt after another, when not.
_STEP = ["step", "how"]
_STEP_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)
STEP_SECONDS = Histogram(
    "votepyramid_step_seconds",
    "One attempt at a step, with its wait for a thread",
    _STEP,
    buckets=_STEP_BUCKETS,
)
STEP_REPEATS = Counter(
    "votepyramid_step_repeats_total", "Attempts after the first", _STEP
)
STEP_FAILURES = Counter(
    "votepyramid_step_failures_total",
    "Attempts that failed, by what is unwell",
    [*_STEP, "problem"],
)
STEP_WAIT = Histogram(
    "votepyramid_step_wait_seconds",
    "From scheduling a regular step to a worker's taking it",
    ["step"],
    buckets=_STEP_BUCKETS,
)
WORKFLOW_SECONDS = Histogram(
    "votepyramid_workflow_seconds",
    "From a workflow's start to its end",
    ["workflow"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
WORKFLOWS = Counter(
    "votepyramid_workflows_ended_total",
    "Workflows that ended by themselves",
    ["workflow", "outcome"],
)
WORKFLOW_TASK_WAIT = Histogram(
    "votepyramid_workflow_task_wait_seconds",
    "From scheduling a workflow's next task to a worker's taking it",
    ["workflow"],
    buckets=_STEP_BUCKETS,
)
WORKFLOW_TASK_FAILURES = Counter(
    "votepyramid_workflow_task_failures_total",
    "Workflow tasks that failed: the workflow's code or its replay is at fault",
    ["workflow", "reason"],
)
SLOTS = Gauge(
    "votepyramid_worker_slots_used",
    "Places of a worker that are taken",
    ["queue", "kind"],
    multiprocess_mode="livesum",
)
SLOTS_FREE = Gauge(
    "votepyramid_worker_slots_free",
    "Places of a worker that are not",
    ["queue", "kind"],
    multiprocess_mode="livesum",
)
TEMPORAL_SECONDS = Histogram(
    "votepyramid_temporal_request_seconds",
    "Time that a request to Temporal took; not long polls",
    ["operation"],
    buckets=_STEP_BUCKETS,
)
TEMPORAL_FAILURES = Counter(
    "votepyramid_temporal_request_failures_total",
    "Requests to Temporal that failed, long polls too, and connections not had",
    ["operation", "status"],
)
ATTENTION = Gauge(
    "votepyramid_workflows_attention_items",
    "Workflows that need attention, as a worker last counted",
    multiprocess_mode="livemostrecent",
)
RUNNING = Gauge(
    "votepyramid_workflows_running_items",
    "Workflows that run, as a worker last counted",
    multiprocess_mode="livemostrecent",
)
UNTAKEN = Gauge(
    "votepyramid_workflows_untaken_queues",
    "Task queues with workflows that no worker takes, as a worker last asked",
    multiprocess_mode="livemostrecent",
)
COUNTED = Gauge(
    "votepyramid_workflows_counted_timestamp_seconds",
    "When a worker last counted them",
    multiprocess_mode="livemostrecent",
)
