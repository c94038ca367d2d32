//! The program as it is built and started: what the kernel is asked to do for it, and what it asks of the kernel.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Child, Command, Stdio},
};

use object::{
    Endianness, elf,
    read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _},
};

use crate::support::*;

/// The image's user.
const NONROOT: u32 = 65532;

/// Loaded anywhere, with nothing in memory both writable and executable, and every address that the linker fills in
/// read-only from the start.
#[test]
fn the_program_is_hardened() {
    let program = fs::read(Operator::program()).expect("it is built");
    let file = ElfFile64::<Endianness>::parse(&*program).expect("ELF of 64 bits");
    let endian = file.endian();
    let header = file.elf_header();
    assert_eq!(header.e_type(endian), elf::ET_DYN, "position-independent");

    let segments = file.elf_program_headers();
    let flags = |kind| {
        let found = segments
            .iter()
            .find(|segment| segment.p_type(endian) == kind);
        found.map(|segment| segment.p_flags(endian))
    };
    let stack = flags(elf::PT_GNU_STACK).expect("it says what the stack may be");
    assert_eq!(stack & elf::PF_X, 0, "an executable stack");
    assert!(flags(elf::PT_GNU_RELRO).is_some(), "relocated, read-only");
    for segment in segments {
        let both = elf::PF_W | elf::PF_X;
        assert_ne!(segment.p_flags(endian) & both, both, "writable code");
    }

    let dynamic = segments
        .iter()
        .find_map(|segment| segment.dynamic(endian, &*program).ok().flatten());
    let dynamic = dynamic.expect("it is linked dynamically");
    let value = |tag: i64| {
        let found = dynamic.iter().find(|entry| entry.d_tag(endian) == tag);
        found.map(|entry| entry.d_val(endian))
    };
    let set = |tag, flag: u64| value(tag).is_some_and(|flags| flags & flag != 0);
    let now = value(elf::DT_BIND_NOW).is_some()
        || set(elf::DT_FLAGS, elf::DF_BIND_NOW.into())
        || set(elf::DT_FLAGS_1, elf::DF_1_NOW.into());
    assert!(now, "every address is filled in before it starts");
    assert!(set(elf::DT_FLAGS_1, elf::DF_1_PIE.into()), "PIE");
    for tag in [elf::DT_RPATH, elf::DT_RUNPATH, elf::DT_TEXTREL] {
        assert_eq!(value(tag), None, "{tag}");
    }
}

/// What .dockerignore lets into the image's build is all that cargo needs there.
#[test]
fn the_image_can_be_built_of_what_is_let_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = fs::read_to_string(root.join(".dockerignore")).expect("a file");
    let let_in = rules.lines().filter_map(|line| line.strip_prefix('!'));
    let context = tempfile::tempdir().expect("a folder");
    for path in let_in {
        let to = context.path().join(path);
        fs::create_dir_all(to.parent().expect("a folder above")).expect("a folder");
        let copied = Command::new("cp")
            .arg("-R")
            .args([&root.join(path), &to])
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "{path}");
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version=1"])
        .current_dir(context.path())
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// Killed on drop.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// As the image starts it: no environment but a kubeconfig, no home, nothing writable. Core dumps are allowed as far as
/// they can be. No API server answers.
fn start(folder: &Path) -> Running {
    let program = folder.join("operator");
    fs::copy(Operator::program(), &program).expect("a copy");
    let kubeconfig = folder.join("kubeconfig");
    let content = "{apiVersion: v1, kind: Config, current-context: a, users: [{name: a, user: {}}], \
         clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}], \
         contexts: [{name: a, context: {cluster: a, user: a}}]}";
    fs::write(&kubeconfig, content).expect("a file");
    for (path, mode) in [(folder, 0o555), (&program, 0o555), (&kubeconfig, 0o444)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its owner");
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -c $(ulimit -H -c); exec \"$0\" \"$@\""])
        .arg(&program)
        .args(["run", "--http-addr=127.0.0.1:0", "--namespace=default"])
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("CANARY", "in the environment")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if is_root() {
        command.uid(NONROOT).gid(NONROOT);
    }
    Running(command.spawn().expect("sh"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("Linux").uid() == 0
}

#[test]
fn its_memory_stays_within_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = start(folder.path());
    let mut stderr = BufReader::new(running.0.stderr.take().expect("piped"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("text");
    assert!(line.contains("\"starting\""), "{line}");

    let proc = format!("/proc/{}", running.0.id());
    let limits = fs::read_to_string(format!("{proc}/limits")).expect("Linux");
    let core = limits.lines().find(|line| line.starts_with("Max core"));
    let core: Vec<_> = core.expect("a limit").split_whitespace().collect();
    assert_eq!(core[core.len() - 3..], ["0", "0", "bytes"]);

    // What is not dumpable is root's, whoever runs it.
    for file in ["environ", "mem", "maps", "fd"] {
        let path = format!("{proc}/{file}");
        assert_eq!(fs::metadata(&path).expect("Linux").uid(), 0, "{file}");
        if !is_root() {
            assert!(fs::File::open(&path).is_err(), "{file}");
        }
    }

    let pid = running.0.id().to_string();
    let sent = Command::new("kill").args(["-ABRT", &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let status = running.0.wait().expect("a child of ours");
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped(), "{status}");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
}
