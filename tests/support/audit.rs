//! What a user did to Kubernetes, by the API server's own log.

use std::{
    fmt, fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde_json::Value;

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct Audit {
    file: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug)]
pub struct AuditMark(u64);

/// One request to the API server.
#[derive(Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Such as `patch`, `get`, `watch`.
    pub verb: String,
    /// Such as `nairi.ai`; empty for the core group.
    pub group: String,
    /// Such as `vaultsecrets`, `secrets`, `events`.
    pub resource: String,
    /// Such as `status`; empty for none.
    pub subresource: String,
    /// Empty for what has none.
    pub namespace: String,
    /// Empty where the request named none (a list, a create).
    pub name: String,
    /// The `User-Agent`, which names the replica.
    pub agent: String,
    /// When it came in.
    pub time: String,
    /// The path and the query.
    pub uri: String,
    /// The status it was answered with; 0 while that is not known.
    pub code: u64,
}

impl fmt::Debug for AuditEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} ({})",
            self.time, self.verb, self.uri, self.code
        )
    }
}

impl AuditEvent {
    /// The kind of thing it was about, such as `vaultsecrets/status`.
    pub fn what(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    fn from_json(event: &Value) -> Self {
        let text = |path: &str| {
            event
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            verb: text("/verb"),
            group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource: text("/objectRef/subresource"),
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            agent: text("/userAgent"),
            time: text("/requestReceivedTimestamp"),
            uri: text("/requestURI"),
            code: event
                .pointer("/responseStatus/code")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        }
    }
}

impl Audit {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// The end of the log: every write that begins after this is behind it.
    pub fn mark(&self) -> AuditMark {
        AuditMark(fs::metadata(&self.file).map_or(0, |file| file.len()))
    }

    /// All writes of `user` since the mark, answered or not. Renewed leases are none: see [`Audit::leases`].
    pub fn writes(&self, user: &str, since: AuditMark) -> Vec<AuditEvent> {
        let mut writes = self.select(user, since, "RequestReceived", &WRITES);
        writes.retain(|write| write.resource != "leases");
        writes
    }

    /// All writes of leases.
    pub fn leases(&self, user: &str, since: AuditMark) -> Vec<AuditEvent> {
        let mut writes = self.select(user, since, "RequestReceived", &WRITES);
        writes.retain(|write| write.resource == "leases");
        writes
    }

    /// All `get`s of `user` that were answered since the mark. The last of them may come a moment late.
    pub fn gets(&self, user: &str, since: AuditMark) -> Vec<AuditEvent> {
        self.select(user, since, "ResponseComplete", &["get"])
    }

    /// All answered requests of `user` since the mark, with their codes. The last of them may come a moment
    /// late; watches come when they begin.
    pub fn answered(&self, user: &str, since: AuditMark) -> Vec<AuditEvent> {
        let mut all = self.select(user, since, "ResponseComplete", &[]);
        all.retain(|event| event.verb != "watch");
        all.extend(self.select(user, since, "ResponseStarted", &["watch"]));
        all
    }

    /// All requests of `user` since the mark that it had no right to.
    pub fn refused(&self, user: &str, since: AuditMark) -> Vec<AuditEvent> {
        let mut all = self.select(user, since, "ResponseComplete", &[]);
        all.retain(|event| event.code == 403);
        all
    }

    fn select(
        &self,
        user: &str,
        AuditMark(since): AuditMark,
        stage: &str,
        verbs: &[&str],
    ) -> Vec<AuditEvent> {
        let mut file = fs::File::open(&self.file).expect("the audit log is there");
        file.seek(SeekFrom::Start(since))
            .expect("the audit log is a file");
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .expect("the audit log is readable");
        text.split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == user && event["stage"] == stage)
            .map(|event| AuditEvent::from_json(&event))
            .filter(|event| verbs.is_empty() || verbs.contains(&event.verb.as_str()))
            .collect()
    }
}
