//! The users and groups that this host's own files name, and whose ids these are.

use std::ops::RangeInclusive;

/// Where they are named: passwd(5), group(5), subuid(5), subgid(5).
const FILES: [&str; 4] = ["/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid"];

/// The files and their texts; `None` is one that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    files: Vec<(&'static str, Option<String>)>,
}

impl Accounts {
    /// Those of this host.
    #[must_use]
    pub fn read() -> Accounts {
        let text = |file: &'static str| (file, std::fs::read_to_string(file).ok());
        Accounts { files: FILES.into_iter().map(text).collect() }
    }

    /// Those of these texts.
    #[must_use]
    pub fn of(files: &[(&'static str, Option<&str>)]) -> Accounts {
        let owned = files.iter().map(|(file, text)| (*file, text.map(str::to_owned)));
        Accounts { files: owned.collect() }
    }

    /// Who has one of these ids, as `name of /etc/passwd`.
    #[must_use]
    pub fn among(&self, uids: &RangeInclusive<u32>, gids: &RangeInclusive<u32>) -> Vec<String> {
        let meet = |a: &RangeInclusive<u32>, b: &RangeInclusive<u32>| {
            a.start() <= b.end() && b.start() <= a.end()
        };
        let mut found = Vec::new();
        for (file, text) in &self.files {
            let range = if of_groups(file) { gids } else { uids };
            let lines = text.iter().flat_map(|text| text.lines());
            let held = lines.filter_map(|line| held(file, line));
            let taken = held.filter(|(_, ids)| meet(ids, range));
            found.extend(taken.map(|(name, _)| format!("{name} of {file}")));
        }
        found
    }

    /// The files that cannot be read.
    #[must_use]
    pub fn unread(&self) -> Vec<&'static str> {
        self.files.iter().filter(|(_, text)| text.is_none()).map(|(file, _)| *file).collect()
    }
}

fn of_groups(file: &str) -> bool {
    file.ends_with("group") || file.ends_with("gid")
}

/// `name:x:id:…` of passwd(5) and group(5), `name:first:count` of subuid(5) and subgid(5).
fn held<'a>(file: &str, line: &'a str) -> Option<(&'a str, RangeInclusive<u32>)> {
    let fields: Vec<&str> = line.split(':').collect();
    let number = |at: usize| fields.get(at)?.parse::<u32>().ok();
    let (first, count) = match file.ends_with("passwd") || file.ends_with("group") {
        true => (number(2)?, 1),
        false => (number(1)?, number(2).filter(|count| *count > 0)?),
    };
    Some((*fields.first()?, first..=first.saturating_add(count - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_uids_and_groups_have_gids_and_both_may_be_handed_on() {
        let among = |files: &[(&'static str, &str)]| {
            let files: Vec<_> = files.iter().map(|(file, text)| (*file, Some(*text))).collect();
            Accounts::of(&files).among(&(123..=187), &(100..=164))
        };
        let passwd = "root:x:0:0::/:\nsomeone:x:125:125::/:/bin/sh\nlater:x:188:1::/:\nno line\n";
        let group = "root:x:0:\nusers:x:100:a,b\nlast:x:164:\nlater:x:165:\n";
        assert_eq!(among(&[("/etc/passwd", passwd)]), ["someone of /etc/passwd"]);
        let groups = ["users of /etc/group", "last of /etc/group"];
        assert_eq!(among(&[("/etc/group", group)]), groups);
        let (uids, gids) = ("below:0:123\ninto:100:24\nnone:130:0\n", "group:164:10\nover:165:9\n");
        let found = among(&[("/etc/subuid", uids), ("/etc/subgid", gids)]);
        assert_eq!(found, ["into of /etc/subuid", "group of /etc/subgid"]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let files = [("/etc/passwd", None), ("/etc/group", Some(""))];
        assert_eq!(Accounts::of(&files).unread(), ["/etc/passwd"]);
    }
}
