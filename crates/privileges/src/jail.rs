//! The jail of a program that talks to strangers: no new privileges, Landlock to the named directories, and a list of
//! system calls it has no use for.
//!
//! Best effort: where the kernel lacks one part, a sentence for the log comes back and the other parts apply.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// What stays within reach.
#[derive(Clone, Copy, Debug)]
pub struct Jail<'a> {
    /// Files and directory trees that may be read. Paths that do not exist are passed over.
    pub read_only: &'a [&'a Path],
    /// Directory trees in which files may be made, written, renamed and removed.
    pub read_write: &'a [&'a Path],
    /// Programs.
    pub exec: Exec<'a>,
    /// New internet sockets; those already open stay usable.
    pub network: Network,
}

/// Which programs may be started.
#[derive(Clone, Copy, Debug)]
pub enum Exec<'a> {
    /// None at all.
    Never,
    /// Those beneath these paths.
    Beneath(&'a [&'a Path]),
}

/// Whether internet sockets may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Only local (unix) sockets.
    Deny,
    /// Local sockets, and those by which the kernel tells which addresses this machine has.
    Look,
    /// As anybody.
    Allow,
}

/// Enters the jail, for good; returns what could not be applied, a sentence each. Call it before threads start.
#[must_use]
pub fn jail(jail: &Jail<'_>) -> Vec<String> {
    let mut lacking = Vec::new();
    if let Err(e) = nix::sys::prctl::set_no_new_privs() {
        lacking.push(format!("no_new_privs: {}", e.desc()));
    }
    match restrict_files(jail) {
        Ok(status) if status.ruleset == RulesetStatus::NotEnforced => {
            lacking.push("this kernel has no Landlock".into())
        }
        Ok(_) => {}
        Err(e) => lacking.push(format!("Landlock: {e}")),
    }
    if let Err(e) = restrict_calls(jail) {
        lacking.push(format!("seccomp: {e}"));
    }
    lacking
}

fn restrict_files(jail: &Jail<'_>) -> Result<RestrictionStatus, RulesetError> {
    let abi = ABI::V5;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write =
        AccessFs::from_all(abi) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let exec: &[&Path] = match jail.exec {
        Exec::Never => &[],
        Exec::Beneath(paths) => paths,
    };
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?;
    for (paths, access) in [(jail.read_only, read), (jail.read_write, write), (exec, read | AccessFs::Execute)] {
        for path in paths {
            let Ok(fd) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            rules = rules.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    rules.restrict_self()
}

fn restrict_calls(jail: &Jail<'_>) -> Result<(), String> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = NEVER_NEEDED.iter().map(|call| (*call, Vec::new())).collect();
    if matches!(jail.exec, Exec::Never) {
        rules.insert(libc::SYS_execve, Vec::new());
        rules.insert(libc::SYS_execveat, Vec::new());
    }
    let refused = match jail.network {
        Network::Deny => vec![socket_rule(&[(0, AF_UNIX)])?],
        Network::Look => {
            vec![socket_rule(&[(0, AF_UNIX), (0, AF_NETLINK)])?, socket_rule(&[(0, AF_UNIX), (2, NETLINK_ROUTE)])?]
        }
        Network::Allow => Vec::new(),
    };
    if !refused.is_empty() {
        rules.insert(libc::SYS_socket, refused);
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let refused = SeccompAction::Errno(EPERM);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).map_err(|e| e.to_string())?;
    let program: BpfProgram = filter.try_into().map_err(|e: seccompiler::BackendError| e.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|e| e.to_string())
}

/// Meets `socket` when none of these arguments has this value.
fn socket_rule(unlike: &[(u8, u64)]) -> Result<SeccompRule, String> {
    let condition = |(argument, value): &(u8, u64)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, *value)
    };
    let conditions = unlike.iter().map(condition).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

const AF_UNIX: u64 = 1;
const AF_NETLINK: u64 = 16;
const NETLINK_ROUTE: u64 = 0;
const EPERM: u32 = 1;

/// System calls none of our jailed programs has a use for, and that exploits like.
const NEVER_NEEDED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];
