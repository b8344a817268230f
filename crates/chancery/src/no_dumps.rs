//! No picture of this process is kept: keys and values are in its memory.
//!
//! A core file would hold them in clear, on a disk that nobody encrypted for that, or in the hands of whatever the system pipes it to.

use std::io;

/// Forbids core files of this process and, on Linux, that other processes of its user read its memory.
///
/// # Errors
///
/// If the system does not let us; then nothing is promised.
pub fn forbid() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    }
    // A handler that core files are piped to is not bound by the limit; this is looked at before.
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn the_process_leaves_no_core_file_and_is_read_by_nobody() {
        super::forbid().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
