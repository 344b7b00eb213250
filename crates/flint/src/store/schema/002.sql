-- The world as it was after fact `seq` and its plan, for `flint replay`: written at each start and now and then.
-- `body` is the world as JSON, `version` the flint that wrote it.
create table snapshots (
    seq integer not null primary key, at integer not null, version text not null, body text not null
) strict;

-- The number of the first fact of the same commit: facts that were planned for together.
alter table events add column turn integer not null default 0;

-- The log is cut at its old end, by number: a log without its middle cannot be folded.
drop index events_by_age;
