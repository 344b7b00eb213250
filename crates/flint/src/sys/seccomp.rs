//! The lists of system calls of processes that serve sockets they were given, and can do nothing else.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::io;

/// Calls that are always good: on descriptors that are open, on our own memory, on our own thread.
#[rustfmt::skip]
const CALLS: &[libc::c_long] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_close,
    libc::SYS_recvfrom, libc::SYS_accept4,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_getsockopt,
    libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_ppoll, libc::SYS_futex,
    libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_brk,
    libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_gettimeofday, libc::SYS_getrandom, libc::SYS_sched_yield,
    libc::SYS_rt_sigreturn, libc::SYS_rt_sigprocmask, libc::SYS_sigaltstack, libc::SYS_restart_syscall,
    libc::SYS_exit, libc::SYS_exit_group,
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_time,
];

/// From now on this thread may make these calls only; any other kills the process. There is no way back.
///
/// # Errors
/// When this kernel has no seccomp filters, or no list for this architecture.
pub fn serve_only() -> io::Result<()> {
    apply(Sockets::Connected)
}

/// As [`serve_only`], for sockets of datagrams: these answer whoever has asked, and more of them come over the link.
///
/// # Errors
/// As there.
pub fn resolve_only() -> io::Result<()> {
    apply(Sockets::Datagrams)
}

/// What a process serves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sockets {
    /// Listeners and their connections: nothing is sent to an address.
    Connected,
    /// Datagrams, which have one. Each socket is of a network that holds it to what it may reach.
    Datagrams,
}

fn apply(sockets: Sockets) -> io::Result<()> {
    let program = program(sockets).map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

fn program(sockets: Sockets) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let only = |at: u8, how: SeccompCmpOp, value: u64| {
        let condition = SeccompCondition::new(at, SeccompCmpArgLen::Dword, how, value)?;
        SeccompRule::new(vec![condition])
    };
    // Memory that is code must not be made: neither anew nor of what is there.
    let exec = u64::from(libc::PROT_EXEC.cast_unsigned());
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![only(2, SeccompCmpOp::MaskedEq(exec), 0)?]);
    }
    // A listener that is shut down is a socket of the old network that `sendto` could connect by itself, with
    // MSG_FASTOPEN and an address. `sendmsg` hides both in memory, so it is not on the list at all.
    let fast = u64::from(libc::MSG_FASTOPEN.cast_unsigned());
    let slow = SeccompCondition::new(3, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(fast), 0)?;
    let nowhere = SeccompCondition::new(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
    let sent = match sockets {
        Sockets::Connected => vec![slow, nowhere],
        Sockets::Datagrams => vec![slow],
    };
    rules.insert(libc::SYS_sendto, vec![SeccompRule::new(sent)?]);
    if sockets == Sockets::Datagrams {
        rules.insert(libc::SYS_recvmsg, Vec::new());
    }
    // The end of what we say, which leaves a listener as it is.
    let write = u64::from(libc::SHUT_WR.cast_unsigned());
    rules.insert(libc::SYS_shutdown, vec![only(1, SeccompCmpOp::Eq, write)?]);
    // `ioctl` is a door to every driver; only "do not block" goes through.
    rules.insert(libc::SYS_ioctl, vec![only(1, SeccompCmpOp::Eq, libc::FIONBIO)?]);
    let asks = [libc::F_GETFL, libc::F_SETFL, libc::F_GETFD, libc::F_SETFD];
    let asks = asks.map(|ask| only(1, SeccompCmpOp::Eq, u64::from(ask.cast_unsigned())));
    rules.insert(libc::SYS_fcntl, asks.into_iter().collect::<Result<_, _>>()?);
    let (other, listed) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules, other, listed, arch)?.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_into_a_filter_of_this_machine() {
        for sockets in [Sockets::Connected, Sockets::Datagrams] {
            let program = program(sockets).unwrap();
            assert!((CALLS.len()..4096).contains(&program.len()));
        }
    }

    #[test]
    fn nothing_that_opens_connects_or_starts_is_on_the_list() {
        let never = [
            libc::SYS_openat,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_clone,
            libc::SYS_execve,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_unshare,
            libc::SYS_mount,
            libc::SYS_mmap,
            // Each could make a connection out of a listener, or reach into the kernel by a socket's options.
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_setsockopt,
        ];
        assert!(never.iter().all(|call| !CALLS.contains(call)));
    }
}
