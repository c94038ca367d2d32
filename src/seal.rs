//! Keeps the memory of the process, which holds keys and values, within the process.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// From here on a crash leaves no core dump, and no other process of the same user can attach to this one or read its
/// memory or its environment under `/proc`: only root can.
///
/// The limit alone is not enough, as the kernel does not keep it where it hands dumps to a program (systemd-coredump,
/// apport); a process that is not dumpable it does not dump at all.
///
/// # Errors
/// Where the kernel, or what stands between it and this process, refuses.
pub fn seal() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
