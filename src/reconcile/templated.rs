//! What a template's errors mean for the object that has it. Pure.

use secrecy::SecretString;

use crate::{
    api::{self, Reason},
    reconcile::{desired, verdict::Refusal},
    template::{Data, Error, Template},
};

/// Reads the template's text.
///
/// # Errors
/// `InvalidTemplate`, with what to change.
pub fn parse(template: &api::Template) -> Result<Template, Refusal> {
    let name = &template.secret_ref.name;
    Template::parse(&template.text).map_err(|error| refusal(&error, name))
}

/// Renders the template over the keys of the Secret of that name.
///
/// # Errors
/// A sentence that names the Secret and the key, never their content.
pub fn value(template: &Template, data: &Data, secret: &str) -> Result<SecretString, Refusal> {
    let mut bytes = template
        .render(data)
        .map_err(|error| refusal(&error, secret))?;
    let origin = format_args!("The text that the template makes of Secret {secret:?}");
    desired::value(std::mem::take(&mut *bytes), &origin)
}

fn refusal(error: &Error, secret: &str) -> Refusal {
    let reason = match error {
        Error::Missing(key) => {
            let message = format!(
                "Secret {secret:?} has no key {key:?}, which spec.valueFrom.template uses: add it, or correct the template."
            );
            return Refusal::new(Reason::SourceKeyNotFound, message);
        }
        Error::Binary(_) | Error::Decoded(_) | Error::NotBase64(_) => Reason::InvalidValue,
        Error::Syntax(_)
        | Error::Statement(_)
        | Error::Expression(_)
        | Error::Filter(..)
        | Error::Arguments(..)
        | Error::Long(_)
        | Error::Large => Reason::InvalidTemplate,
    };
    Refusal::new(
        reason,
        format!("The template over Secret {secret:?} {error}."),
    )
}

#[cfg(test)]
mod tests;
