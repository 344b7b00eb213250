-- The world: one table per part of it, a row per entry; `body` is the core's type as JSON.
create table meta (
    key text not null primary key,
    value text not null
) strict, without rowid;
create table vms (id integer not null primary key, body text not null) strict;
create table jobs (
    id integer not null, attempt integer not null, body text not null,
    primary key (id, attempt)
) strict, without rowid;
create table finished (
    id integer not null, attempt integer not null, body text not null,
    primary key (id, attempt)
) strict, without rowid;
create table profiles (name text not null primary key, body text not null) strict, without rowid;
create table breakers (name text not null primary key, body text not null) strict, without rowid;
create table hosts (id integer not null primary key, body text not null) strict;
create table stray_guests (
    host integer not null, vm integer not null, body text not null,
    primary key (host, vm)
) strict, without rowid;
create table stray_runners (vm integer not null primary key, body text not null) strict;

-- Webhook deliveries that were committed; `at` in milliseconds since the UNIX epoch, as everywhere.
create table deliveries (guid text not null primary key, at integer not null) strict, without rowid;
create index deliveries_by_age on deliveries (at);

-- Every fact, in the order it was taken in.
create table events (seq integer primary key autoincrement, at integer not null, body text not null) strict;
create index events_by_age on events (at);

-- What has left the world.
create table jobs_done (
    id integer not null, attempt integer not null, vm integer, completed integer not null, body text not null,
    primary key (id, attempt)
) strict;
create index jobs_done_by_age on jobs_done (completed);
create index jobs_done_by_vm on jobs_done (vm);
create table vms_done (
    id integer not null primary key, job integer, attempt integer, gone integer not null, body text not null
) strict;
create index vms_done_by_age on vms_done (gone);
create index vms_done_by_job on vms_done (job, attempt);
