//! The operator's processes, as the kernel of the node sees them.

use std::{fs, path::Path};

/// As much of the program's name as the kernel keeps.
const NAME: &str = "vaultsecret-ope";

/// A process of the operator.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: String,
    /// The Pod that it is in: its host name.
    pub(crate) pod: String,
    status: String,
    mounts: String,
}

impl Process {
    /// All that run.
    pub(crate) fn all() -> Vec<Self> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| Self::of(&entry.path()))
            .collect()
    }

    fn of(folder: &Path) -> Option<Self> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        if read("comm")?.trim() != NAME {
            return None;
        }
        let environment = read("environ").unwrap_or_default();
        let pod = environment
            .split('\0')
            .find_map(|variable| variable.strip_prefix("POD_NAME="))?;
        Some(Self {
            pid: folder.file_name()?.to_str()?.to_owned(),
            pod: pod.to_owned(),
            status: read("status")?,
            mounts: read("mountinfo")?,
        })
    }

    /// A line of its status.
    fn says(&self, key: &str) -> &str {
        self.status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map_or("", str::trim)
    }

    /// What it takes of memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let kib = self.says("VmRSS").split_whitespace().next();
        kib.and_then(|kib| kib.parse().ok()).unwrap_or(0_u64) * 1024
    }

    /// What the restricted level promises, and does not hold.
    pub(crate) fn too_free(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, wanted) in [
            ("Uid", "65532\t65532\t65532\t65532"),
            ("Gid", "65532\t65532\t65532\t65532"),
            ("CapEff", "0000000000000000"),
            ("CapBnd", "0000000000000000"),
            ("NoNewPrivs", "1"),
            ("Seccomp", "2"),
        ] {
            let found = self.says(key);
            if found != wanted {
                wrong.push(format!("{key} is {found:?}, not {wanted:?}"));
            }
        }
        let root = self.mounts.lines().find(|line| {
            let mut fields = line.split(' ').skip(4);
            fields.next() == Some("/")
        });
        let options = root.and_then(|root| root.split(' ').nth(5)).unwrap_or("");
        if !options.split(',').any(|option| option == "ro") {
            wrong.push(format!("its root is mounted {options:?}, not read-only"));
        }
        wrong
    }
}
