//! One PATCH: the request, the doubt while it is under way, and what its answer makes true.

use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    api::condition::whole_seconds,
    connections::Credential,
    context::Context,
    nairi::{Error, RemoteSecret, SecretPatch, is_unrestricted, same_instant},
    reconcile::{
        fields::Fields,
        plan::Change,
        record::{Confirmed, Sent},
    },
};

/// Whom a request is for, and with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// uid of the VaultSecret.
    pub uid: &'a str,
    /// Its vault.
    pub vault_id: &'a str,
    /// The key to send it with.
    pub credential: &'a Credential,
    /// Since when the object was due.
    pub due: Instant,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
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
    let known = |text: &str| before.knows(allowed_domains, text);
    let outcome = outcome.and_then(|answer| match &value {
        Some((value, ..)) if answer.repeats(value, known) => Err(Error::repeats_the_value()),
        _ if allowed_domains.is_some_and(|sent| lifts(&answer, sent)) => {
            Err(Error::lifts_the_restriction())
        }
        _ => Ok(answer),
    });
    let answer = outcome.inspect_err(|error| {
        if !error.maybe_applied() {
            ctx.ledger.answered(to.uid, doubt);
        }
        ctx.connections.heed(to.credential, error);
    })?;
    ctx.ledger.answered(to.uid, doubt - fields);
    ctx.ledger.unbound(to.uid, false);
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
        notes.push(Note::DriftCorrected(real));
    }
    if allowed_domains.is_some_and(|domains| is_unrestricted(domains))
        && !is_unrestricted(&before.allowed_domains)
    {
        notes.push(Note::DomainsWidened);
    }
    if value
        .as_ref()
        .is_some_and(|(value, ..)| value.expose_secret().ends_with('\n'))
    {
        notes.push(Note::TrailingNewline);
    }
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

fn lifts(answer: &RemoteSecret, sent: &[String]) -> bool {
    is_unrestricted(&answer.allowed_domains) && !is_unrestricted(sent)
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
        .inspect_err(|error| ctx.connections.heed(to.credential, error))?;
    ctx.vaults.learn(to.credential, to.vault_id, &answer);
    Ok(answer)
}
