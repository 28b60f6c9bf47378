//! The files for container engines say of p2pd what is so: commands it takes, paths and ports that are there, probes it
//! answers. No engine runs here; these read what one would.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use p2p_daemon::cli::{Cli, Command};
use yaml_rust2::{Yaml, YamlLoader};

use crate::{
    process::{P2pd, addr_in, run},
    service::get,
};

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list(yaml: &Yaml) -> &[Yaml] {
    yaml.as_vec().unwrap_or_else(|| panic!("{yaml:?} is no list"))
}

fn text(yaml: &Yaml) -> &str {
    yaml.as_str().unwrap_or_else(|| panic!("{yaml:?} is no text"))
}

/// The file that such a command of p2pd's runs.
#[track_caller]
fn config_of<'a>(args: impl IntoIterator<Item = &'a str>) -> PathBuf {
    match Cli::try_parse_from(std::iter::once("p2pd").chain(args)).unwrap().command {
        Command::Up(up) => up.config.expect("it says which file"),
        other => panic!("{other:?} runs no file"),
    }
}

/// The admin interface's port in a configuration, once p2pd has found nothing wrong with it.
#[track_caller]
fn checked(config: &str, vars: &[(&str, &str)]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p2pd.toml");
    fs::write(&file, config).unwrap();
    let (code, _, stderr) = run(&["config", "check", file.to_str().unwrap()], vars);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{config}");
    let config: toml::Table = config.parse().unwrap();
    config["daemon"]["admin"].as_str().unwrap().parse::<std::net::SocketAddr>().unwrap().port().into()
}

/// An instruction's arguments in the Dockerfile's last stage.
fn instruction(name: &str) -> String {
    let file = read("docker/Dockerfile");
    let last = file.rsplit("\nFROM ").next().unwrap().lines();
    let found = last.filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' ')).next_back();
    found.unwrap_or_else(|| panic!("the image has no {name}")).to_owned()
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_image_runs_a_command_that_there_is_with_variables_that_there_are() {
    assert_eq!(words(&instruction("ENTRYPOINT")), ["p2pd"]);
    let command = words(&instruction("CMD"));
    assert_eq!(config_of(command.iter().map(String::as_str)), Path::new("/etc/p2pd/p2pd.toml"));
    let health = instruction("HEALTHCHECK");
    let health = words(health.split_once("CMD ").unwrap().1);
    Cli::try_parse_from(&health).unwrap();

    let vars = instruction("ENV");
    let vars: Vec<(&str, &str)> = vars.split(' ').map(|var| var.split_once('=').unwrap()).collect();
    // p2pd warns of one that it does not know.
    checked("[daemon]\nadmin = \"127.0.0.1:8801\"\n", &vars);
    let of = |name| vars.iter().find(|(key, _)| *key == name).unwrap().1;
    assert_eq!(instruction("EXPOSE"), format!("{}/udp", of("P2P_LISTEN_PORT")));
    assert_eq!(Path::new(of("P2P_KEY_FILE")).parent(), Some(Path::new(&instruction("VOLUME"))));

    let manifest: toml::Table =
        fs::read_to_string(deploy("../../Cargo.toml")).unwrap().parse().expect("cargo reads it, too");
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(read("docker/Dockerfile").contains(&format!("FROM rust:{rust}-")), "the workspace needs Rust {rust}");
}

#[test]
fn compose_mounts_what_there_is_and_its_ports_meet() {
    let compose = &documents("docker/compose.yaml")[0];
    let services = &compose["services"];
    let (p2pd, prometheus, grafana) = (&services["p2pd"], &services["prometheus"], &services["grafana"]);
    let context = deploy("docker").join(text(&p2pd["build"]["context"]));
    assert!(context.join(text(&p2pd["build"]["dockerfile"])).exists() && context.join("Cargo.lock").exists());

    let declared: BTreeSet<&str> = compose["volumes"].as_hash().unwrap().keys().map(text).collect();
    let mut mounted = BTreeSet::new();
    for (_, service) in services.as_hash().unwrap() {
        for volume in list(&service["volumes"]) {
            let mut parts = text(volume).split(':');
            let (from, to) = (parts.next().unwrap(), parts.next().unwrap());
            match from.starts_with('.') {
                true => assert!(deploy("docker").join(from).exists(), "{from} is mounted, and is not there"),
                false => assert!(declared.contains(from), "{from} is no volume"),
            }
            mounted.insert(to);
        }
    }

    let config = config_of(list(&p2pd["command"]).iter().map(text));
    assert!(mounted.contains(config.to_str().unwrap()));
    assert!(mounted.contains(instruction("VOLUME").as_str()), "the key outlives the container");
    let admin = checked(&read("docker/p2pd.toml"), &[]);
    // Both share p2pd's network, so what they reach on loopback is p2pd's.
    for service in [prometheus, grafana] {
        assert_eq!(text(&service["network_mode"]), "service:p2pd");
    }
    let scraped = &documents("prometheus/prometheus.yml")[0]["scrape_configs"][0]["static_configs"][0]["targets"][0];
    assert_eq!(text(scraped), format!("localhost:{admin}"));
    assert!(mounted.contains("/etc/prometheus/prometheus.yml") && mounted.contains("/etc/prometheus/alerts.yml"));
    let ports: Vec<&str> = list(&p2pd["ports"]).iter().map(text).collect();
    let published = instruction("EXPOSE").replace("/udp", "");
    assert!(ports.contains(&format!("{published}:{published}/udp").as_str()), "{ports:?}");

    let source = &documents("docker/grafana/provisioning/datasources/prometheus.yaml")[0]["datasources"][0];
    assert_eq!((text(&source["type"]), text(&source["url"])), ("prometheus", "http://localhost:9090"));
    let provider = &documents("docker/grafana/provisioning/dashboards/p2pd.yaml")[0]["providers"][0];
    let folder = text(&provider["options"]["path"]);
    assert!(mounted.contains(format!("{folder}/p2pd.json").as_str()), "the dashboard is where Grafana looks");
}

/// One of the manifests, and those of its fields that name others.
fn manifest(kind: &str) -> Yaml {
    let mut all = documents("kubernetes/p2pd.yaml").into_iter();
    all.find(|document| document["kind"].as_str() == Some(kind)).unwrap_or_else(|| panic!("there is no {kind}"))
}

#[test]
fn the_manifests_name_each_other_and_what_p2pd_takes() {
    let (config, claim, deployment) =
        (manifest("ConfigMap"), manifest("PersistentVolumeClaim"), manifest("Deployment"));
    let pod = &deployment["spec"]["template"];
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    let (pod, container) = (&pod["spec"], &pod["spec"]["containers"][0]);

    // The file is a key of the map, which is a volume, which is mounted where the command looks for it.
    let file = config_of(list(&container["args"]).iter().map(text));
    let content = text(&config["data"][file.file_name().unwrap().to_str().unwrap()]);
    let volume = |path: &Path| {
        let mounts = list(&container["volumeMounts"]);
        let mount = mounts.iter().find(|mount| Path::new(text(&mount["mountPath"])) == path).unwrap();
        list(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"]).unwrap()
    };
    assert_eq!(volume(file.parent().unwrap())["configMap"]["name"], config["metadata"]["name"]);
    let state = volume(Path::new(&instruction("VOLUME")));
    assert_eq!(state["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"]);

    let admin = checked(content, &[("P2PD_ADMIN_TOKEN", "hush")]);
    let ports = list(&container["ports"]);
    let port = |name: &Yaml| ports.iter().find(|port| port["name"] == *name).unwrap()["containerPort"].as_i64();
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(port(&container[probe]["httpGet"]["port"]), Some(admin), "{probe}");
    }
    assert_eq!(text(&container["env"][0]["name"]), "P2PD_ADMIN_TOKEN");

    let config: toml::Table = content.parse().unwrap();
    assert_eq!(port(&Yaml::String("peers".into())), config["network"]["listen_port"].as_integer());
    let drain = config["daemon"]["drain"].as_str().unwrap().trim_end_matches('s').parse::<i64>().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= drain + 10, "a drain takes up to {drain} s");
    assert!(instruction("USER") == "p2pd" && read("docker/Dockerfile").contains("--uid 8800"));
    assert_eq!(pod["securityContext"]["runAsUser"].as_i64(), Some(8800));
}

// Asked from outside of the pod, without the token: yes or no, and not that there is no such path, or no right to ask.
#[test]
fn probes_are_answered_where_the_manifest_sends_them() {
    let args = ["share", "tcp://127.0.0.1:9", "--port", "0", "--admin", "0.0.0.0:0"];
    let p2pd = P2pd::start_with(&args, &[("P2PD_ADMIN_TOKEN", "hush")]);
    let port = addr_in(&p2pd.says("Watch it at").replace("0.0.0.0", "127.0.0.1")).port();
    let container = &manifest("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let ask = |path: &str| get(([127, 0, 0, 1], port).into(), path).0;
    assert_eq!(ask(text(&container["livenessProbe"]["httpGet"]["path"])), "HTTP/1.1 200 OK");
    let ready = ask(text(&container["readinessProbe"]["httpGet"]["path"]));
    assert!(ready.contains(" 200 ") || ready.contains(" 503 "), "{ready}");
    assert!(ask("/metrics").contains(" 401 "), "the rest is for those with the token");
}
