//! The files of a release: what `make release-manifests` makes installs the operator, and names the image it was told.

use std::{path::Path, process::Command};

use crate::support::*;

const IMAGE: &str = "registry.example.com/team/vaultsecret-operator";
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// What `make release-manifests` says, and whether it worked.
fn release_manifests(arguments: &[String]) -> (bool, String) {
    let output = Command::new("make")
        .args([
            "--no-print-directory",
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "release-manifests",
        ])
        .args(arguments)
        .env_remove("MAKEFLAGS")
        .output()
        .expect("make");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn read(folder: &Path, file: &str) -> String {
    std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[tokio::test]
async fn install_yaml_is_taken_by_a_real_api_server() {
    let world = Setup::new().unstarted().start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let dist = folder.path();
    let (done, said) = release_manifests(&[
        format!("IMAGE={IMAGE}"),
        format!("DIGEST={DIGEST}"),
        format!("NAMESPACE={}", world.system),
        format!("DIST={}", dist.display()),
    ]);
    assert!(done, "{said}");

    let install = read(dist, "install.yaml");
    assert!(
        install
            .starts_with("# kubectl apply --server-side -f install.yaml. Never kubectl delete -f")
    );
    assert_eq!(install.matches("image:").count(), 1);
    assert!(
        install.contains(&format!("image: \"{IMAGE}@{DIGEST}\"")),
        "{install}"
    );
    for (file, kinds) in [
        ("install.yaml", "Deployment"),
        ("crds.yaml", "CustomResourceDefinition"),
    ] {
        let path = dist.join(file).display().to_string();
        let dry = [
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "-o=name",
            "-f",
        ];
        let applied = world
            .cluster
            .kubectl(&[&dry[..], &[&path]].concat())
            .await
            .ok();
        let found = applied.to_lowercase().contains(&kinds.to_lowercase());
        assert!(found, "{file}: {applied}");
    }
    let crds = read(dist, "crds.yaml");
    assert_eq!(crds.matches("kind: CustomResourceDefinition").count(), 3);

    let archive = format!("vaultsecret-operator-{}.tgz", env!("CARGO_PKG_VERSION"));
    let sums = read(dist, "SHA256SUMS");
    let named: Vec<_> = sums
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(named, ["crds.yaml", "install.yaml", &archive]);
}

#[test]
fn without_an_image_there_is_nothing_to_release() {
    let (done, said) = release_manifests(&["DIST=/nowhere".to_owned()]);
    let asked = "say where the image is: make release-manifests IMAGE=";
    assert!(!done && said.contains(asked), "{said}");
}
