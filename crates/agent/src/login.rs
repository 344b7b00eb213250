//! A login on the guest's console.

use crate::error::{During, Error};
use crate::programs::{Programs, Running};
use crate::users::User;
use flint_wire::Secret;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Sets the password in this guest's overlay and opens the console. Nothing is started after the logout.
pub(crate) fn start(
    programs: &Programs<'_>,
    user: &User,
    password: &Secret,
) -> Result<Running, Error> {
    set_password(programs, user, password)?;
    let console = console_name()?;
    let nothing = File::open("/dev/null").during("open /dev/null")?;
    let argv = ["agetty", "--noclear", "--local-line", "115200", &console, "vt100"];
    programs.as_root(&argv, nothing.as_fd()).map(Running::unfollowed)
}

fn set_password(programs: &Programs<'_>, user: &User, password: &Secret) -> Result<(), Error> {
    let (input, mut lines) = io::pipe().during("make a pipe")?;
    let pid = programs.as_root(&["chpasswd"], input.as_fd())?;
    for part in [user.name.as_str(), ":", password.expose(), "\n"] {
        lines.write_all(part.as_bytes()).during("set the password")?;
    }
    drop(lines);
    match programs.children.wait(pid) {
        0 => Ok(()),
        code => Err(Error::refused("set the password", format!("chpasswd ended with {code}"))),
    }
}

/// The console that the kernel speaks to; the last named is the one behind `/dev/console`.
fn console_name() -> Result<String, Error> {
    let path = "/sys/class/tty/console/active";
    let active = fs::read_to_string(path).during(format!("read {path}"))?;
    let last = active.split_whitespace().next_back();
    last.map(str::to_owned).ok_or_else(|| Error::refused("open a login", "there is no console"))
}
