//! Users and groups, read from the image's files by hand: a static glibc must not load name services.

use crate::error::{During, Error};
use crate::sys::Identity;
use std::fs;

/// A user of the image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// Its name.
    pub(crate) name: String,
    /// Its home directory.
    pub(crate) home: String,
    /// Its shell.
    pub(crate) shell: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Looks a user up.
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        let passwd = fs::read_to_string("/etc/passwd").during("read /etc/passwd")?;
        let groups = fs::read_to_string("/etc/group").during("read /etc/group")?;
        parse(name, &passwd, &groups).ok_or_else(|| {
            Error::refused(
                format!("find user `{name}`"),
                "the image's /etc/passwd does not have it",
            )
        })
    }

    /// For a child that becomes this user.
    pub(crate) fn identity(&self) -> Identity {
        Identity { uid: self.uid, gid: self.gid, groups: self.groups.clone() }
    }
}

fn parse(name: &str, passwd: &str, group: &str) -> Option<User> {
    let fields = lines(passwd).find(|fields| fields.len() >= 7 && fields[0] == name)?;
    let gid = fields[3].parse().ok()?;
    let mut groups = vec![gid];
    for other in lines(group).filter(|fields| fields.len() >= 4) {
        let member = other[3].split(',').any(|member| member.trim() == name);
        match other[2].parse() {
            Ok(id) if member && !groups.contains(&id) => groups.push(id),
            Ok(_) | Err(_) => {}
        }
    }
    Some(User {
        name: name.to_owned(),
        uid: fields[2].parse().ok()?,
        gid,
        home: fields[5].to_owned(),
        shell: if fields[6].is_empty() { "/bin/sh" } else { fields[6] }.to_owned(),
        groups,
    })
}

fn lines(file: &str) -> impl Iterator<Item = Vec<&str>> {
    file.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::{User, parse};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\n\
        runner2:x:7:7::/:/bin/sh\nrunner:x:1001:1001:,,,:/home/runner:/bin/bash\nbare:x:5:5:::\n";
    const GROUP: &str = "root:x:0:\nsudo:x:27:other,runner\nrunner:x:1001:runner\n\
        docker:x:123:runner\nadm:x:4:runner2\nbroken:x\nodd:x:many:runner\n";

    #[test]
    fn a_user_has_all_its_groups_once() {
        let runner = User {
            name: "runner".into(),
            uid: 1001,
            gid: 1001,
            home: "/home/runner".into(),
            shell: "/bin/bash".into(),
            groups: vec![1001, 27, 123],
        };
        assert_eq!(parse("runner", PASSWD, GROUP), Some(runner));
    }

    #[test]
    fn a_user_without_a_shell_gets_the_usual_one() {
        assert_eq!(parse("bare", PASSWD, GROUP).map(|user| user.shell), Some("/bin/sh".into()));
    }

    #[test]
    fn a_missing_user_is_not_made_up() {
        assert_eq!(parse("run", PASSWD, GROUP), None);
        assert_eq!(parse("broken", PASSWD, GROUP), None);
    }
}
