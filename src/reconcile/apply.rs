//! What is sent: the request, the doubt while it is under way, and what its answer makes true.

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kube_runtime::reflector::ObjectRef;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    api::{VaultSecret, condition::whole_seconds},
    connections::Credential,
    context::Context,
    ledger::Ledger,
    nairi::{Class, Error, NewSecret, RemoteSecret, SecretPatch, is_unrestricted, same_instant},
    reconcile::{
        fields::Fields,
        plan::Change,
        record::{Confirmed, Sent},
    },
};

/// Whom a request is for, and with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The VaultSecret.
    pub object: &'a ObjectRef<VaultSecret>,
    /// uid of the VaultSecret.
    pub uid: &'a str,
    /// Its vault.
    pub vault_id: &'a str,
    /// The key to send it with.
    pub credential: &'a Credential,
    /// Since when the object was due.
    pub due: Instant,
}

impl Request<'_> {
    fn heed(&self, ctx: &Context, error: &Error) {
        (ctx.connections).heed(self.credential, Some(self.object), error);
    }
}

/// What the fields of a change are, where they are in it.
pub struct Content<'a> {
    /// The value, its fingerprint, and the version of the Secret it is from.
    pub value: Option<(&'a SecretString, String, String)>,
    /// The domains.
    pub allowed_domains: Option<&'a Vec<String>>,
}

/// What the API confirmed.
pub struct Applied {
    /// The secret, as the answer shows it.
    pub answer: RemoteSecret,
    /// Our record of it.
    pub confirmed: Confirmed,
    /// What is worth an event.
    pub notes: Vec<Note>,
}

/// What is worth an event beside a change of `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The remote secret was created.
    Created {
        /// Its id.
        secret_id: String,
    },
    /// Somebody else's change was put right.
    DriftCorrected(Fields),
    /// A secret that was restricted may go anywhere now.
    DomainsWidened,
    /// The value that was sent ends with a newline.
    TrailingNewline,
}

/// Sends `change`.
///
/// # Errors
/// The failed request. Its fields stay marked as uncertain if they may have been stored.
pub async fn patch(
    ctx: &Context,
    to: Request<'_>,
    change: Change,
    content: Content<'_>,
) -> Result<Applied, Error> {
    let Change {
        secret_id,
        fields,
        corrects,
        foreign_updated_at,
        leaves,
        before,
    } = change;
    let Content {
        value,
        allowed_domains,
    } = content;
    let value = value.filter(|_| fields.value);
    let allowed_domains = allowed_domains.filter(|_| fields.allowed_domains);
    let doubt = ctx.ledger.entry(to.uid).uncertain;
    ctx.ledger.sending(to.uid, fields);
    let body = SecretPatch {
        value: value.as_ref().map(|(value, ..)| (*value).clone()),
        allowed_domains: allowed_domains.cloned(),
    };
    let nairi = ctx.writing().await;
    let outcome = nairi
        .patch_secret(&to.credential.key, to.vault_id, &secret_id, &body)
        .await;
    drop(body);
    ctx.ledger.asked(to.uid);
    let known = |text: &str| before.knows(allowed_domains, text);
    let value_sent = value.as_ref().map(|(value, ..)| *value);
    let outcome = outcome.and_then(|answer| credible(answer, value_sent, allowed_domains, known));
    let answer = outcome.inspect_err(|error| {
        if !error.maybe_applied() {
            ctx.ledger.answered(to.uid, doubt);
        }
        to.heed(ctx, error);
    })?;
    ctx.ledger.answered(to.uid, doubt - fields);
    let replaced = [&before.updated_at].into_iter().chain(&foreign_updated_at);
    bound(&ctx.ledger, to.uid, &answer, replaced);
    ctx.vaults.learn(to.credential, to.vault_id, &answer);
    ctx.metrics.patched(fields, to.due.elapsed());

    let mut notes = Vec::new();
    // An unmoved updated_at says that what we sent had been there all along.
    let moved = foreign_updated_at.is_none_or(|theirs| !same_instant(&answer.updated_at, &theirs));
    let real = Fields {
        value: corrects.value && moved,
        ..corrects
    };
    if !real.is_empty() {
        ctx.metrics.drift_corrected();
        ctx.ledger.corrected(to.uid, Timestamp::now());
        notes.push(Note::DriftCorrected(real));
    }
    if allowed_domains.is_some_and(|domains| is_unrestricted(domains))
        && !is_unrestricted(&before.allowed_domains)
    {
        notes.push(Note::DomainsWidened);
    }
    notes.extend(value_sent.and_then(trailing_newline));
    let (value_fingerprint, source_version) = value
        .map(|(_, fingerprint, version)| (fingerprint, version))
        .unzip();
    let sent = Sent {
        fields,
        allowed_domains: allowed_domains.cloned(),
        value_fingerprint,
        source_version,
        at: whole_seconds(Timestamp::now()),
        leaves,
    };
    let confirmed = before.after_patch(&answer, &sent);
    Ok(Applied {
        answer,
        confirmed,
        notes,
    })
}

/// Notes that the object is bound to the secret that `answer` shows, and what `updated_at`s that one has `replaced`.
pub(super) fn bound<'a>(
    ledger: &Ledger,
    uid: &str,
    answer: &RemoteSecret,
    replaced: impl IntoIterator<Item = &'a String>,
) {
    ledger.unbound(uid, false);
    for old in replaced {
        if !same_instant(old, &answer.updated_at) {
            ledger.outdated(uid, old);
        }
    }
}

/// An answer that repeats the value it was sent, or shows a restriction lifted that was sent, is an error.
fn credible(
    answer: RemoteSecret,
    value: Option<&SecretString>,
    allowed_domains: Option<&Vec<String>>,
    known: impl Fn(&str) -> bool,
) -> Result<RemoteSecret, Error> {
    let lifts =
        |sent: &Vec<String>| is_unrestricted(&answer.allowed_domains) && !is_unrestricted(sent);
    if value.is_some_and(|value| answer.repeats(value, known)) {
        return Err(Error::repeats_the_value());
    }
    if allowed_domains.is_some_and(lifts) {
        return Err(Error::lifts_the_restriction());
    }
    Ok(answer)
}

fn trailing_newline(value: &SecretString) -> Option<Note> {
    let ends_with_one = value.expose_secret().ends_with('\n');
    ends_with_one.then_some(Note::TrailingNewline)
}

/// A secret that is to be created.
pub struct Creation<'a> {
    /// Its environment key.
    pub env_key: String,
    /// Its value.
    pub value: &'a SecretString,
    /// The version of the Secret the value is from.
    pub source_version: String,
    /// Its domains.
    pub allowed_domains: Vec<String>,
}

/// Creates a secret; `fingerprint` is that of its value, once its id is known.
///
/// # Errors
/// The failed request. The secret may have been created all the same: a list tells.
pub async fn create(
    ctx: &Context,
    to: Request<'_>,
    creation: Creation<'_>,
    fingerprint: impl FnOnce(&str) -> String,
) -> Result<Applied, Error> {
    let Creation {
        env_key,
        value,
        source_version,
        allowed_domains,
    } = creation;
    let body = NewSecret {
        env_key: env_key.clone(),
        value: value.clone(),
        allowed_domains: allowed_domains.clone(),
    };
    ctx.ledger.creating(to.uid, true);
    let nairi = ctx.writing().await;
    let outcome = nairi
        .create_secret(&to.credential.key, to.vault_id, &body)
        .await;
    drop(body);
    ctx.ledger.asked(to.uid);
    ctx.ledger.creating(
        to.uid,
        outcome.as_ref().err().is_some_and(Error::maybe_applied),
    );
    let known = |text: &str| {
        let mut domains = allowed_domains.iter();
        text == env_key || domains.any(|domain| text.eq_ignore_ascii_case(domain))
    };
    let answer = outcome
        .and_then(|answer| credible(answer, Some(value), Some(&allowed_domains), known))
        .inspect_err(|error| to.heed(ctx, error))?;
    ctx.vaults.learn(to.credential, to.vault_id, &answer);
    ctx.ledger.answered(to.uid, Fields::NONE);
    bound(&ctx.ledger, to.uid, &answer, []);
    ctx.metrics.patched(Fields::ALL, to.due.elapsed());
    let mut notes = vec![Note::Created {
        secret_id: answer.id.clone(),
    }];
    notes.extend(trailing_newline(value));
    let sent = Sent {
        fields: Fields::ALL,
        value_fingerprint: Some(fingerprint(&answer.id)),
        source_version: Some(source_version),
        at: whole_seconds(Timestamp::now()),
        leaves: None,
        allowed_domains: Some(allowed_domains),
    };
    let confirmed = Confirmed::found(&answer, None).after_patch(&answer, &sent);
    Ok(Applied {
        answer,
        confirmed,
        notes,
    })
}

/// Deletes a secret. One that is not there counts as deleted.
///
/// # Errors
/// The failed request.
pub async fn delete(ctx: &Context, to: Request<'_>, secret_id: &str) -> Result<(), Error> {
    let nairi = ctx.writing().await;
    let outcome = nairi
        .delete_secret(&to.credential.key, to.vault_id, secret_id)
        .await
        .inspect_err(|error| to.heed(ctx, error));
    match outcome {
        // Only the documented form of a 404 is of this class.
        Err(error) if error.class() == Class::NotFound => {}
        outcome => outcome?,
    }
    ctx.vaults.gone(to.credential, to.vault_id, secret_id);
    Ok(())
}

/// Asks for the secret's present state by the documented no-op, `PATCH {}`.
///
/// # Errors
/// The failed request.
pub async fn read(ctx: &Context, to: Request<'_>, secret_id: &str) -> Result<RemoteSecret, Error> {
    let (nairi, nothing) = (ctx.writing().await, SecretPatch::default());
    let answer = nairi
        .patch_secret(&to.credential.key, to.vault_id, secret_id, &nothing)
        .await
        .inspect_err(|error| to.heed(ctx, error))?;
    ctx.ledger.asked(to.uid);
    ctx.vaults.learn(to.credential, to.vault_id, &answer);
    Ok(answer)
}
