//! Thousands of broken objects from one namespace.

use super::*;

/// `TENANT_OBJECTS`, or 500.
fn many() -> usize {
    std::env::var("TENANT_OBJECTS").map_or(500, |text| text.parse().expect("a number"))
}

/// Every way to be broken that costs something each time: a request to Kubernetes, a list, a place in a queue.
fn broken(mallory: &Neighbour<'_>, number: usize) -> VaultSecretBuilder {
    let object = mallory.object(&format!("broken-{number}"));
    let key = format!("KEY_{number}");
    match number % 6 {
        0 => object.env_key(&key).value_from("missing", "key"),
        1 => object
            .vault(&format!("vlt_garbage_{}", number % 50))
            .env_key(&key)
            .value_from("source", "key"),
        2 => object.env_key(&key).value_from("source", "key"),
        3 => object
            .env_key(&key)
            .template("{{ key | nothing }}", "source"),
        4 => object.env_key("REJECTED").value_from("source", "key"),
        _ => object.env_key(&key).value_from("source", "no-such-key"),
    }
}

#[tokio::test]
async fn broken_objects_delay_nobody_else() {
    let world = Setup::new()
        .also_watching(&[MALLORY])
        .log_filter("info")
        .without_barrier()
        .start()
        .await;
    let mut rotation = Rotation::begin(&world).await;
    let mallory = Neighbour::arrive(&world, MALLORY).await;
    let data = objects::secret("source", &[("key", "value")]);
    let post = kube::api::PostParams::default();
    mallory
        .secrets()
        .create(&post, &data)
        .await
        .expect("a Secret");
    let rejected = world.remote("REJECTED", "", &[]);
    world
        .sim
        .fault(Fault::status(400).secret(&rejected).method("PATCH"));

    rotation
        .during(mallory.create_all((0..many()).map(|number| broken(&mallory, number))))
        .await;
    // All of them at once, again and again.
    let other = nairi_sim::api_key();
    world.sim.add_key(&other);
    let keys = [&other, world.sim.api_key()].map(str::to_owned);
    rotation
        .during(async {
            for round in 0..6 {
                mallory.change_key(&keys[round % 2]).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        })
        .await;
    rotation.was_prompt();
}
