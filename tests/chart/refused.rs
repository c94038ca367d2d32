//! Wrong values: refused before anything reaches the cluster, with words that say which and why.

use super::*;

/// What the schema refuses, by `--set` or, where it is a list in brackets, `--set-json`; and what is said of it. Each is about another value:
/// they are tried all at once, and helm tells of all.
const ALONE: &[(&str, &str)] = &[
    // Keys that do not exist, at each depth.
    (
        "replicaCount=3",
        "at '': additional properties 'replicaCount' not allowed",
    ),
    (
        "image.repositry=x",
        "at '/image': additional properties 'repositry' not allowed",
    ),
    (
        "networkPolicy.egress.dns.port=53",
        "at '/networkPolicy/egress/dns': additional properties 'port' not allowed",
    ),
    (
        "metrics.podMonitor.additionalLabels.a=b",
        "at '/metrics/podMonitor': additional properties 'additionalLabels' not allowed",
    ),
    (
        "livenessProbe.httpGet.path=/",
        "at '/livenessProbe': additional properties 'httpGet' not allowed",
    ),
    (
        "strategy.rollingUpdate.maxsurge=1",
        "at '/strategy/rollingUpdate': additional properties 'maxsurge' not allowed",
    ),
    (
        "resources.cpu=1",
        "at '/resources': additional properties 'cpu' not allowed",
    ),
    (
        "affinity.labels=x",
        "at '/affinity': additional properties 'labels' not allowed",
    ),
    // Values of another type, or that nothing could come of.
    ("replicas=two", "at '/replicas': got string, want integer"),
    ("dryRun=yes", "at '/dryRun': got string, want boolean"),
    (
        "image.digest=sha256:abc",
        "at '/image/digest': 'sha256:abc' does not match pattern",
    ),
    (
        "image.pullPolicy=Sometimes",
        "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    (
        "imagePullSecrets={registry}",
        "at '/imagePullSecrets/0': got string, want object",
    ),
    (
        "nameOverride=My_Operator",
        "at '/nameOverride': 'My_Operator' does not match pattern",
    ),
    (
        "commonLabels.tier=1",
        "at '/commonLabels/tier': got number, want string",
    ),
    (
        "podAnnotations.a=true",
        "at '/podAnnotations/a': got boolean, want string",
    ),
    (
        "watchNamespaces={Payments}",
        "at '/watchNamespaces/0': 'Payments' does not match pattern",
    ),
    (
        "apiUrl=api.nairi.ai",
        "at '/apiUrl': 'api.nairi.ai' does not match pattern",
    ),
    ("apiTimeout=10", "at '/apiTimeout': got number, want string"),
    (
        "resyncInterval=0s",
        "at '/resyncInterval': '0s' does not match pattern",
    ),
    (
        "deletionGrace=soon",
        "at '/deletionGrace': 'soon' does not match pattern",
    ),
    ("concurrency=0", "at '/concurrency': minimum: got 0, want 1"),
    (
        "extraArgs={-v}",
        "at '/extraArgs/0': '-v' does not match pattern",
    ),
    (
        r#"extraEnv=[{"value": "x"}]"#,
        "at '/extraEnv/0': missing property 'name'",
    ),
    (
        r#"extraVolumeMounts=[{"name": "x"}]"#,
        "at '/extraVolumeMounts/0': missing property 'mountPath'",
    ),
    (
        "podDisruptionBudget.minAvailable=half",
        "at '/podDisruptionBudget/minAvailable': 'half' does not match pattern",
    ),
    (
        "metrics.serviceMonitor.interval=30",
        "at '/metrics/serviceMonitor/interval': got number, want string",
    ),
    (
        "metrics.service.port=0",
        "at '/metrics/service/port': minimum: got 0, want 1",
    ),
    (
        "networkPolicy.egress.apiServer.ports=[]",
        "at '/networkPolicy/egress/apiServer/ports': minItems: got 0, want 1",
    ),
    (
        "topologySpreadConstraints[0].maxSkew=1",
        "at '/topologySpreadConstraints/0': missing properties 'topologyKey', 'whenUnsatisfiable'",
    ),
    ("dnsPolicy=Cluster", "at '/dnsPolicy': value must be one of"),
    (
        "terminationGracePeriodSeconds=5",
        "at '/terminationGracePeriodSeconds': minimum: got 5, want 20",
    ),
    (
        "extraObjects=none",
        "at '/extraObjects': got string, want array",
    ),
];

/// What does not go together, nor with the defaults.
const TOGETHER: &[(&str, &str)] = &[
    (
        "podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=0",
        "podDisruptionBudget has minAvailable and maxUnavailable",
    ),
    (
        "admissionPolicy.enabled=true,admissionPolicy.validationActions={Deny,Warn}",
        "admissionPolicy.validationActions has Deny and Warn",
    ),
    (
        "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
        "each pod would be scraped twice",
    ),
    (
        "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
        "metrics.serviceMonitor needs metrics.service",
    ),
    (
        "apiUrl=http://simulator:8080",
        "set allowInsecureHttp: true",
    ),
    (
        "apiUrl=http://127.0.0.1.example.com",
        "set allowInsecureHttp: true",
    ),
    (
        "extraArgs={--dry-run}",
        "extraArgs has --dry-run, which is set already, by dryRun.",
    ),
    (
        "extraArgs={--api-url=https://x}",
        "extraArgs has --api-url, which is set already, by apiUrl.",
    ),
    (
        "extraArgs={--leader-elect=false}",
        "that takes replicas: 1 and strategy: {type: Recreate}",
    ),
    (
        "extraArgs={--leader-elect=false},replicas=1",
        "that takes replicas: 1 and strategy: {type: Recreate}",
    ),
    (
        r#"extraEnv=[{"name": "VAULTSECRET_LEADER_ELECT", "value": "false"}]"#,
        "that takes replicas: 1 and strategy: {type: Recreate}",
    ),
    // A node would only say InvalidImageName.
    (
        "image.repository=registry.example.com:5000/x:1.0",
        "image.repository is registry.example.com:5000/x:1.0: leave out what is no part of an image's name, such as https://; a tag belongs in image.tag, a digest in image.digest.",
    ),
    (
        "image.repository=https://registry.example.com/x",
        "image.repository is https://registry.example.com/x: leave out",
    ),
    // A null takes the default away; without these there is no sense, or less safety.
    (
        "apiTimeout=null,watchNamespaces=null",
        "at '': missing properties 'apiTimeout', 'watchNamespaces'",
    ),
    (
        "admissionPolicy.forbidUnrestricted=null,admissionPolicy.requireNamespaceLabel=null",
        "at '/admissionPolicy': missing properties 'forbidUnrestricted', 'requireNamespaceLabel'",
    ),
    ("crds.keep=null", "at '/crds': missing property 'keep'"),
    (
        "networkPolicy.egress.dns=null",
        "at '/networkPolicy/egress': missing property 'dns'",
    ),
    // There is no image that could be taken.
    (
        "image.repository=",
        "image.repository is not set, and there is no default: build the image with `make image` or `docker build -t REGISTRY/vaultsecret-operator:0.1.0 .`, push it to a registry your cluster can pull from, and run helm again with `--set image.repository=REGISTRY/vaultsecret-operator`.",
    ),
];

/// What helm says of these values.
async fn said(helm: Helm, sets: &[&str]) -> String {
    let image = "image.repository=registry.example.com/x";
    let mut args = vec!["template", RELEASE, CHART, "--set", image];
    for set in sets {
        let json = set.contains("=[");
        args.extend([if json { "--set-json" } else { "--set" }, set]);
    }
    let cluster = Cluster::shared().await;
    cluster.helm_of(helm, &args).await.refused()
}

#[track_caller]
fn tells(said: &str, cases: &[(&str, &str)]) {
    let missing = cases
        .iter()
        .filter(|(_, expected)| !said.contains(expected));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "{missing:#?} in\n{said}");
}

#[tokio::test]
async fn each_says_why() {
    let sets: Vec<_> = ALONE.iter().map(|(set, _)| *set).collect();
    for helm in Helm::ALL {
        tells(&said(helm, &sets).await, ALONE);
    }
    for case in TOGETHER {
        tells(&said(Helm::Four, &[case.0]).await, &[*case]);
    }
}

/// What looks wrong and is not.
#[tokio::test]
async fn these_are_fine() {
    let cluster = Cluster::shared().await;
    for set in [
        "apiUrl=http://localhost:8080",
        "apiUrl=http://[::1]:8080",
        "extraArgs={--leader-elect=true}",
        "image.repository=registry.example.com:5000/x",
        // The value of a flag, as an element of its own.
        "extraArgs={--some-flag,namespace}",
        "global.imageRegistry=x,enabled=true",
        "podDisruptionBudget.minAvailable=0",
        "commonLabels.app\\.kubernetes\\.io/name=x,podLabels.app\\.kubernetes\\.io/instance=x",
        "podDisruptionBudget=null,networkPolicy=null,metrics=null,strategy=null,podLabels=null",
        "podDisruptionBudget.minAvailable=null,podDisruptionBudget.maxUnavailable=50%",
        "podDisruptionBudget.maxUnavailable=null",
        "watchNamespaces={no}",
        "podAnnotations.kubectl\\.kubernetes\\.io/default-container=other",
    ] {
        let image = "image.repository=registry.example.com/x";
        let args = ["template", RELEASE, CHART, "--set", image, "--set", set];
        let rendered = cluster.helm(&args).await.ok();
        assert!(!rendered.contains("app.kubernetes.io/name: x"), "{set}");
        for (part, line) in [
            ("minAvailable=0", "  minAvailable: 0"),
            ("maxUnavailable=50%", "  maxUnavailable: 50%"),
            ("maxUnavailable=null", "  maxUnavailable: 1"),
            // A namespace, and, as it is, YAML's word for false.
            ("{no}", "  namespace: \"no\""),
        ] {
            let there = rendered.contains(&format!("\n{line}\n"));
            assert!(there || !set.contains(part), "{line}: {rendered}");
        }
        assert_eq!(rendered.matches("default-container:").count(), 1, "{set}");
    }
}
