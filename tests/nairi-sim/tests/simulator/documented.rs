//! Every documented answer.

use crate::world::{World, new_secret, read};
use nairi_sim::{BASE, NewVault, well_formed};
use serde_json::{Value, json};

#[tokio::test]
async fn a_patch_answers_with_the_object_and_never_the_value() {
    let world = World::new().await;
    let before = world.sim.secret(&world.secret).expect("it is there");
    let (status, answer) = world.patch(json!({"value": "second"})).await;
    let after = world.sim.secret(&world.secret).expect("it is there");
    assert_eq!(status, 200);
    assert_eq!(
        answer,
        json!({
            "id": world.secret,
            "env_key": "TOKEN",
            "allowed_domains": ["api.example.com"],
            "created_at": before.created_at,
            "updated_at": after.updated_at,
        })
    );
    assert_eq!(after.value, "second");
    assert_ne!(before.updated_at, after.updated_at);
}

#[tokio::test]
async fn only_the_fields_sent_change() {
    let world = World::new().await;
    let (status, answer) = world
        .patch(json!({"allowed_domains": ["*.b.com", "a.com"]}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(answer["allowed_domains"], json!(["*.b.com", "a.com"]));
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("first"));
    world.patch(json!({"value": "second"})).await;
    assert_eq!(
        world.sim.domains(&world.secret).expect("there"),
        ["*.b.com", "a.com"]
    );
    world.patch(json!({"allowed_domains": []})).await;
    assert_eq!(world.sim.domains(&world.secret).expect("there"), [""; 0]);
}

#[tokio::test]
async fn an_empty_patch_and_equal_domains_do_not_move_updated_at() {
    let world = World::new().await;
    let before = world.sim.updated_at(&world.secret).expect("there");
    let (status, answer) = world.patch(json!({})).await;
    assert_eq!((status, &answer["updated_at"]), (200, &json!(before)));
    let (status, answer) = world
        .patch(json!({"allowed_domains": ["api.example.com"]}))
        .await;
    assert_eq!((status, &answer["updated_at"]), (200, &json!(before)));
    assert!(world.sim.log().all().iter().all(|entry| !entry.applied));
}

#[tokio::test]
async fn updated_at_is_strictly_monotone() {
    let world = World::new().await;
    let mut stamps = Vec::new();
    for value in 0..50 {
        let (_, answer) = world.patch(json!({"value": value.to_string()})).await;
        stamps.push(answer["updated_at"].as_str().expect("a string").to_owned());
    }
    assert!(stamps.is_sorted_by(|one, next| one < next), "{stamps:?}");
    assert!(
        stamps
            .iter()
            .all(|stamp| stamp.len() == 24 && stamp.ends_with('Z')),
        "{stamps:?}"
    );
}

#[tokio::test]
async fn a_list_is_a_bare_array_of_the_same_objects() {
    let world = World::new().await;
    let other = world.sim.add_secret(&world.vault, new_secret("OTHER"));
    let list = world.list().await;
    let (_, object) = world.patch(json!({})).await;
    assert_eq!(list.len(), 2);
    assert_eq!(list[0], object);
    assert_eq!(list[1]["id"], json!(other));
    assert!(list.iter().all(|secret| secret.get("value").is_none()));
}

#[tokio::test]
async fn the_vaults_are_listed_with_their_counts() {
    let world = World::new().await;
    let vault = NewVault {
        name: String::from("prod"),
        description: String::from("of payments"),
        ..NewVault::default()
    };
    let other = world.sim.add_vault(vault);
    let (status, vaults) = world.get(&format!("{BASE}/vaults")).await;
    let of = |id: &str| -> Value {
        let all = vaults.as_array().expect("an array");
        all.iter()
            .find(|vault| vault["id"] == id)
            .expect("listed")
            .clone()
    };
    assert_eq!(status, 200);
    assert_eq!(
        of(&world.vault),
        json!({"id": world.vault, "name": "", "description": "", "secret_count": 1})
    );
    assert_eq!(
        of(&other),
        json!({"id": other, "name": "prod", "description": "of payments", "secret_count": 0})
    );
}

#[tokio::test]
async fn a_post_creates_and_domains_default_to_none() {
    let world = World::new().await;
    let (status, answer) = world.post(json!({"env_key": "NEW", "value": "v"})).await;
    let id = answer["id"].as_str().expect("an id");
    assert_eq!(status, 201);
    assert!(well_formed("sec_", id));
    assert_eq!(answer["allowed_domains"], json!([]));
    assert_eq!(answer["created_at"], answer["updated_at"]);
    assert_eq!(answer.as_object().expect("an object").len(), 5);
    assert_eq!(world.sim.value(id).as_deref(), Some("v"));
    let entries = world.sim.log().secret(id);
    assert_eq!((entries.len(), entries[0].applied), (1, true));
}

#[tokio::test]
async fn a_delete_answers_204_then_404() {
    let world = World::new().await;
    assert_eq!(world.delete(&world.path()).await, 204);
    assert_eq!(world.delete(&world.path()).await, 404);
    assert_eq!(world.sim.secret(&world.secret), None);
    assert_eq!(world.list().await, Vec::<Value>::new());
}

#[tokio::test]
async fn ids_malformed_or_absent_or_of_another_vault() {
    let world = World::new().await;
    let other = world.sim.add_vault(NewVault::default());
    let ask = async |vault: &str, secret: &str| {
        let path = format!("{BASE}/vaults/{vault}/secrets/{secret}");
        let answer = read(
            world
                .request("PATCH", &path)
                .json(&json!({}))
                .send()
                .await
                .expect("an answer"),
        )
        .await;
        assert_eq!(
            answer.1.as_object().map(serde_json::Map::len),
            Some(1),
            "{answer:?}"
        );
        assert!(answer.1["error"].is_string(), "{answer:?}");
        answer.0
    };
    assert_eq!(ask(&world.vault, "sec_short").await, 400);
    assert_eq!(ask("vlt_short", &world.secret).await, 400);
    assert_eq!(ask(&world.vault, &nairi_sim::secret_id()).await, 404);
    assert_eq!(ask(&nairi_sim::vault_id(), &world.secret).await, 404);
    assert_eq!(ask(&other, &world.secret).await, 404);
    assert_eq!(
        world
            .get(&format!("{BASE}/vaults/vlt_short/secrets"))
            .await
            .0,
        400
    );
    assert_eq!(
        world
            .get(&format!("{BASE}/vaults/{}/secrets", nairi_sim::vault_id()))
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn there_is_no_get_of_one_secret() {
    let world = World::new().await;
    assert_eq!(world.get(&world.path()).await.0, 404);
    assert_eq!(world.get("/").await.0, 404);
    assert_eq!(world.get("/sim/state").await.0, 404);
}

#[tokio::test]
async fn chosen_ids_are_opaque() {
    let world = World::new().await;
    let vault = world.sim.add_vault(NewVault::with_id("my-vault"));
    let secret = world
        .sim
        .add_secret(&vault, new_secret("KEY").with_id("my-secret"));
    let path = format!("{BASE}/vaults/my-vault/secrets/my-secret");
    let answer = read(
        world
            .request("PATCH", &path)
            .json(&json!({"value": "x"}))
            .send()
            .await
            .expect("sent"),
    )
    .await;
    assert_eq!(answer.0, 200);
    assert_eq!(world.sim.value(&secret).as_deref(), Some("x"));
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let world = World::new().await;
    let bad = [
        json!([]),
        json!("x"),
        json!({"value": 1}),
        json!({"value": null}),
        json!({"value": ""}),
    ];
    for body in bad {
        assert_eq!(world.patch(body.clone()).await.0, 400, "{body}");
    }
    for domains in [json!("a.com"), json!([1]), json!(null)] {
        assert_eq!(
            world.patch(json!({"allowed_domains": domains})).await.0,
            400
        );
    }
    let broken = world
        .request("PATCH", &world.path())
        .header("content-type", "application/json")
        .body("{");
    assert_eq!(read(broken.send().await.expect("sent")).await.0, 400);
    let untyped = world.request("PATCH", &world.path()).body("{}");
    assert_eq!(read(untyped.send().await.expect("sent")).await.0, 400);
    assert_eq!(world.post(json!({"env_key": "A"})).await.0, 400);
    assert_eq!(world.post(json!({"value": "A"})).await.0, 400);
    for key in ["", "1A", "A-B", "NAIRI_X", "CCAGENT_X"] {
        assert_eq!(
            world.post(json!({"env_key": key, "value": "v"})).await.0,
            400,
            "{key}"
        );
    }
    assert_eq!(world.sim.value(&world.secret).as_deref(), Some("first"));
    assert!(world.sim.log().all().iter().all(|entry| !entry.applied));
}

#[tokio::test]
async fn keys_are_checked_revoked_and_added() {
    let world = World::new().await;
    let url = format!("{}{}", world.sim.url(), world.list_path());
    let with = async |key: &str| {
        let response = world
            .client
            .get(&url)
            .bearer_auth(key)
            .send()
            .await
            .expect("an answer");
        read(response).await
    };
    assert_eq!(with(world.sim.api_key()).await.0, 200);
    let (status, answer) = with("nr_wrong").await;
    assert_eq!((status, answer["error"].is_string()), (401, true));
    assert_eq!(
        read(world.client.get(&url).send().await.expect("an answer"))
            .await
            .0,
        401
    );
    world.sim.add_key("nr_second");
    assert!(world.sim.revoke_key(world.sim.api_key()));
    assert!(!world.sim.revoke_key(world.sim.api_key()));
    assert_eq!(with(world.sim.api_key()).await.0, 401);
    assert_eq!(with("nr_second").await.0, 200);
    assert_eq!(world.sim.keys(), ["nr_second"]);
}
