"""The tables of modelhub.db as SQLAlchemy sees them. The migrations make them; a test compares the two."""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Integer, LargeBinary, MetaData, Table, Text

library = MetaData()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _model_id() -> Column[int]:
    return Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False)


def _target_id() -> Column[int]:
    return Column("target_id", Integer, ForeignKey("deploy_targets.id", ondelete="CASCADE"), nullable=False)


meta = Table("meta", library, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

models = Table(
    "models",
    library,
    _id(),
    Column("file_hash", Text, nullable=False, unique=True),
    Column("reclassify", Text),
    Column("deleted", Boolean),
    Column("filename", Text, nullable=False),
    Column("file_size", Integer, nullable=False),
    Column("file_extension", Text, nullable=False),
    Column("primary_type", Text, nullable=False),
    Column("sub_type", Text, nullable=False),
    Column("triggers", Text),
    Column("confidence", Float, nullable=False),
    Column("classification_method", Text, nullable=False),
    Column("tensor_count", Integer),
    Column("architecture", Text),
    Column("precision", Text),
    Column("quantization", Text),
    Column("filename_score", Float),
    Column("size_score", Float),
    Column("metadata_score", Float),
    Column("tensor_score", Float),
    Column("classified_at", Text, nullable=False),
    Column("created_at", Text),
    Column("updated_at", Text),
    Column("base", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("file_format", Text, nullable=False),
    Column("parameters", Integer, nullable=False),
    Column("context_length", Integer, nullable=False),
    Column("external_score", Float),
    Column("state", Text, nullable=False),
    Column("state_code", Text, nullable=False),
    Column("state_message", Text, nullable=False),
    Column("missing", Boolean, nullable=False),
    Column("notes", Text, nullable=False),
    Column("candidates", Text, nullable=False),
    Column("rules_digest", Text, nullable=False),
    Column("category_primary", Text, nullable=False),
    Column("category_secondary", Text, nullable=False),
    Column("category_specialization", Text, nullable=False),
    Column("modalities", Text, nullable=False),
    Column("capabilities", Text, nullable=False),
    Column("license", Text, nullable=False),
    Column("languages", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("deleted_at", Text),
    Column("offline", Boolean, nullable=False),
)

model_metadata = Table(
    "model_metadata",
    library,
    _id(),
    _model_id(),
    Column("metadata_type", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", Text),
)

blobs = Table(
    "blobs",
    library,
    Column("sha256", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_bytes", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("blake3", Text, nullable=False),
    Column("autov1", Text, nullable=False),
    Column("autov3", Text, nullable=False),
    Column("crc32", Text, nullable=False),
    Column("stored", Boolean, nullable=False),
    Column("verified_at", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("quarantined_at", Text, nullable=False),
)

model_files = Table(
    "model_files",
    library,
    _id(),
    _model_id(),
    Column("sha256", Text, ForeignKey("blobs.sha256"), nullable=False),
    Column("relative_path", Text, nullable=False),
    Column("role", Text, nullable=False),
)

found_files = Table(
    "found_files",
    library,
    _id(),
    Column("path", Text, nullable=False),
    Column("path_bytes", LargeBinary, nullable=False, unique=True),
    Column("sha256", Text, ForeignKey("blobs.sha256")),
    Column("outcome", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("adopted", Text, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("dev", Integer, nullable=False),
    Column("inode", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("mtime_ns", Integer, nullable=False),
    Column("ctime_ns", Integer, nullable=False),
    Column("sample", Text, nullable=False),
    Column("first_seen", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("volume", Text, nullable=False),
)

volumes = Table(
    "volumes",
    library,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("mount_bytes", LargeBinary, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("last_seen", Text, nullable=False),
)

overrides = Table(
    "overrides",
    library,
    _id(),
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Text, nullable=False),
)

examinations = Table(
    "examinations",
    library,
    _id(),
    _model_id(),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("examined_at", Text, nullable=False),
)

evidence = Table(
    "evidence",
    library,
    _id(),
    _model_id(),
    Column("method", Text, nullable=False),
    Column("claim", Text, nullable=False),
    Column("base", Text, nullable=False),
    Column("sub_type", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("weight", Float, nullable=False),
    Column("because", Text, nullable=False),
    Column("rule", Text, nullable=False),
)

external_records = Table(
    "external_records",
    library,
    _id(),
    _model_id(),
    Column("source", Text, nullable=False),
    Column("asked", Text, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("data", Text, nullable=False),
    Column("fetched_at", Text, nullable=False),
)

tags = Table("tags", library, _id(), _model_id(), Column("tag", Text, nullable=False))

corrections = Table(
    "corrections",
    library,
    _id(),
    _model_id(),
    Column("field", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("made_at", Text, nullable=False),
)

deploy_targets = Table(
    "deploy_targets",
    library,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("base_path", Text, nullable=False),
    Column("enabled", Boolean),
    Column("created_at", Text),
    Column("updated_at", Text),
    Column("app", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("options", Text, nullable=False),
)

deploy_mappings = Table(
    "deploy_mappings",
    library,
    _id(),
    _target_id(),
    Column("model_type", Text, nullable=False),
    Column("folder_path", Text, nullable=False),
)

deploy_links = Table(
    "deploy_links",
    library,
    _id(),
    _model_id(),
    _target_id(),
    Column("source_path", Text, nullable=False),
    Column("deploy_path", Text, nullable=False),
    Column("is_deployed", Boolean),
    Column("deployed_at", Text),
    Column("created_at", Text),
)

deploy_link_files = Table(
    "deploy_link_files",
    library,
    _id(),
    Column("link_id", Integer, ForeignKey("deploy_links.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", Text, nullable=False),
    Column("path_bytes", LargeBinary, nullable=False),
    Column("source_bytes", LargeBinary, nullable=False),
    Column("how", Text, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("stamp", Text, nullable=False),
)

deploy_runs = Table(
    "deploy_runs",
    library,
    _id(),
    Column("what", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", Text, nullable=False),
    Column("finished_at", Text),
)

deploy_steps = Table(
    "deploy_steps",
    library,
    _id(),
    Column("run_id", Integer, ForeignKey("deploy_runs.id", ondelete="CASCADE"), nullable=False),
    Column("action", Text, nullable=False),
    Column("target_id", Integer),
    Column("model_id", Integer),
    Column("path_bytes", LargeBinary, nullable=False),
    Column("source_bytes", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("before", LargeBinary),
)

deploy_configs = Table(
    "deploy_configs",
    library,
    _id(),
    _target_id(),
    Column("path_bytes", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("made", Boolean, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("written_at", Text, nullable=False),
)
