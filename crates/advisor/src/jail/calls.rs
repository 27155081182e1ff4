//! Which system calls a command may make: seccomp, where the kernel has it.
//!
//! Everything that a program does to itself is allowed. Refused is what reaches into other processes, which run as
//! the same user, what changes the machine, and what has nothing to do with advice and has been a way out before.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, sock_filter,
};

use super::orders::Force;

/// Refused whatever their arguments are.
const REFUSED: &[libc::c_long] = &[
    // Into other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    // Memory, queues and semaphores that processes of this user share by number: no file's rules hold them.
    libc::SYS_mq_open,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    // Keys of this user.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Another view of the machine.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // The machine itself.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    // Ways out of the past.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
];

/// Calls that do not exist: programs know that of older kernels, and do without. What they would do cannot be seen
/// from their arguments.
const MISSING: &[libc::c_long] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
];

/// Flags of `clone` that make namespaces.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// `which` of `ioprio_set` for one process.
const IOPRIO_WHO_PROCESS: u64 = 1;

/// Restricts this process and all that it becomes and starts, as far as the kernel can.
pub fn restrict() -> Force {
    let filters = match filters() {
        Ok(filters) => filters,
        Err(error) => return Force::None(format!("no filter for this machine: {error}")),
    };
    for filter in filters {
        // No new privileges were given up before, which the kernel asks for.
        if let Err(error) = seccompiler::apply_filter(&filter) {
            return Force::None(format!("the kernel refuses a filter: {error}"));
        }
    }
    Force::Full
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn filters() -> Result<Vec<BpfProgram>, BackendError> {
    let mut filters = vec![
        filter(missing(), libc::ENOSYS)?,
        filter(sockets()?, libc::EAFNOSUPPORT)?,
        filter(refused()?, libc::EPERM)?,
    ];
    filters.extend(other_numbers());
    Ok(filters)
}

fn filter(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    // Another architecture's calls end the process.
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        arch,
    )?
    .try_into()
}

fn missing() -> Rules {
    MISSING.iter().map(|call| (*call, Vec::new())).collect()
}

/// Only TCP and UDP. Through sockets that are files a program could give the daemon orders, or a container engine.
fn sockets() -> Result<Rules, BackendError> {
    let other = SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Ne, libc::AF_INET as u64)?,
        condition(0, SeccompCmpOp::Ne, libc::AF_INET6 as u64)?,
    ])?;
    Ok(Rules::from([(libc::SYS_socket, vec![other])]))
}

fn refused() -> Result<Rules, BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut refuse = |call, argument, op, value| {
        let rule = SeccompRule::new(vec![condition(argument, op, value)?])?;
        rules.entry(call).or_default().push(rule);
        Ok::<_, BackendError>(())
    };
    for flag in NAMESPACES {
        let flag = flag as u64;
        refuse(libc::SYS_clone, 0, SeccompCmpOp::MaskedEq(flag), flag)?;
    }
    // Of itself alone.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        refuse(call, 0, SeccompCmpOp::Ne, 0)?;
    }
    for (call, process) in [
        (libc::SYS_setpriority, libc::PRIO_PROCESS.into()),
        (libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS),
    ] {
        refuse(call, 0, SeccompCmpOp::Ne, process)?;
        refuse(call, 1, SeccompCmpOp::Ne, 0)?;
    }
    // Everybody that it could reach: the kernel's order is not to be relied on.
    refuse(libc::SYS_kill, 0, SeccompCmpOp::Eq, u32::MAX.into())?;
    // It is to be seen in /proc by the jail.
    let hide = SeccompRule::new(vec![
        condition(0, SeccompCmpOp::Eq, libc::PR_SET_DUMPABLE as u64)?,
        condition(1, SeccompCmpOp::Eq, 0)?,
    ])?;
    rules.insert(libc::SYS_prctl, vec![hide]);
    Ok(rules)
}

/// All of these arguments have 32 bits; what is above them the kernel does not read.
fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
}

/// On x86-64 every call has a second number, by which the rules above do not know it: that of the x32 ABI.
fn other_numbers() -> Option<BpfProgram> {
    const X32: u32 = 0x4000_0000;
    let instruction = |code: u32, jt, jf, k| sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, X32),
            instruction(
                libc::BPF_RET | libc::BPF_K,
                0,
                0,
                libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
            ),
            instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ]
    })
}
