//! Values that templates are made of, and what is made of them.

use super::{search::canary_key, setup, steps::Canary};
use crate::support::*;

/// What can go wrong with a template once it has values in its hands, and before.
const WRONG: [(&str, &str); 9] = [
    ("InvalidValue", "{{ key | b64decode }}"),
    ("InvalidValue", "{{ key ~ (bytes | b64decode) }}"),
    ("InvalidValue", "{{ bytes }}"),
    ("InvalidValue", "{{ bytes | tojson }}"),
    ("InvalidValue", "{{ key }}{{ nul }}"),
    ("InvalidValue", "{{ data | tojson }}"),
    ("SourceKeyNotFound", "{{ key }}{{ absent }}"),
    ("InvalidTemplate", "{{ data[key] }}"),
    ("InvalidTemplate", "{{ key | nosuch }}{{ key"),
];

#[tokio::test]
async fn no_template_shows_what_it_is_made_of() {
    let mut canary = Canary::start(setup("json"), &canary_key()).await;
    let template = |text: &str| {
        let template = json!({"text": text, "secretRef": {"name": "source"}});
        json!({"valueFrom": {"secretKeyRef": null, "template": template}})
    };
    let good = template("{{ key }}");
    canary.world.edit_spec("token", good.clone()).await;
    canary.world.synced("token").await;
    canary.cure("a template").await;

    let value = canary.value("a key that is no text");
    let bytes = [value.as_bytes(), b"\xff\xfe"].concat();
    let bytes = json!({"data": {"bytes": k8s_openapi::ByteString(bytes)}});
    canary.world.edit_secret("source", bytes).await;
    let nul = canary.value("a key with NUL") + "\0";
    canary.world.set_secret("source", "nul", &nul).await;
    for (reason, text) in WRONG {
        canary.world.edit_spec("token", template(text)).await;
        canary.world.reason("token", reason).await;
        canary.quiet(text).await;
        canary.world.edit_spec("token", good.clone()).await;
        canary.world.synced("token").await;
        canary.cure(text).await;
    }

    // What is made of a value is a secret, too, and so is all that the API may say about it.
    let made = template("{{ key | urlencode }}\n{{ key | tojson }}");
    canary.world.edit_spec("token", made).await;
    canary.world.synced("token").await;
    canary.quiet("a value made by filters").await;
    let echo = Fault::echo(422).secret(&canary.id).writes();
    let fault = canary.world.sim.fault(echo);
    let value = canary.value("a value that is echoed");
    canary.apply(&value).await;
    canary.met(&fault).await;
    canary.world.reason("token", "Rejected").await;
    canary.quiet("an echo of what was made").await;
    fault.remove();
    canary.quiet_throughout().await;
}
