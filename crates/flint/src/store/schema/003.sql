-- Strays stand with their scope, and facts name scopes. Lists find strays again within minutes. An earlier version's facts
-- and snapshots cannot be read any more: the log begins anew, and the copy of the file has the old one.
delete from stray_runners;
delete from events;
delete from snapshots;
delete from meta where key = 'forge';
