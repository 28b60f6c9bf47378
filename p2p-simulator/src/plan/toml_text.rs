//! Plans as TOML.

use p2p::P2PError;
use serde::{Deserialize, Serialize};

use super::{Entry, Plan};
use crate::{
    Fault,
    nearest::nearest,
    text::{parse_duration, print_duration},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    fault: Vec<Written>,
}

/// An entry as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(rename = "where")]
    place: String,
    /// Read in two steps, so that an unknown fault can name the nearest.
    what: toml::Value,
}

pub(super) fn read(text: &str) -> Result<Plan, P2PError> {
    let file: File =
        toml::from_str(text).map_err(|error| P2PError::invalid_input("the plan", error.to_string().trim_end()))?;
    let mut plan = Plan::new();
    for written in file.fault {
        plan.push(entry(written)?)?;
    }
    Ok(plan)
}

fn entry(written: Written) -> Result<Entry, P2PError> {
    let Written { id, at, until, place, what } = written;
    let invalid =
        |field: &str, expected: String| P2PError::invalid_input(format_args!("fault {id:?}: {field}"), expected);
    let at = parse_duration(&at).map_err(|error| invalid("at", error))?;
    let until = until.map(|until| parse_duration(&until).map_err(|error| invalid("until", error))).transpose()?;
    let place = place.parse().map_err(|error: P2PError| invalid("where", error.to_string()))?;
    let what = fault(what).map_err(|error| invalid("what", error))?;
    Ok(Entry { id, at, until, what, place })
}

fn fault(value: toml::Value) -> Result<Fault, String> {
    let name = match &value {
        toml::Value::String(name) => name.as_str(),
        toml::Value::Table(table) if table.len() == 1 => table.keys().next().expect("it has one"),
        _ => return Err("a fault's name, or { name = figure }".into()),
    };
    if !Fault::NAMES.contains(&name) {
        let nearest = nearest(name, Fault::NAMES).expect("there are faults");
        return Err(format!("one of {}; the nearest to {name:?} is {nearest:?}", Fault::NAMES.join(", ")));
    }
    value
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| format!("{value} to read as a fault: {}", error.message()))
}

pub(super) fn write(plan: &Plan) -> String {
    let written = |entry: &Entry| Written {
        id: entry.id.clone(),
        at: print_duration(entry.at),
        until: entry.until.map(print_duration),
        place: entry.place.to_string(),
        what: toml::Value::try_from(&entry.what).expect("faults are strings, numbers and tables of these"),
    };
    let file = File { fault: plan.entries().iter().map(written).collect() };
    toml::to_string(&file).expect("entries are strings, numbers and tables of these")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Latency, LinkChange, Place, Probability};

    fn every_fault() -> Plan {
        let second = Duration::from_secs(1);
        let change = LinkChange {
            latency: Some(Latency::uniform(second, 2 * second)),
            jitter: Some(Duration::from_millis(1500)),
            loss: Some("0.125".parse().unwrap()),
            bandwidth_bytes: Some(5000),
            queue_bytes_max: Some(9000),
            reorder: Some(Probability::percent(1)),
            duplication: Some(Probability::NEVER),
            corruption: Some(Probability::ALWAYS),
            mtu_bytes: Some(700),
        };
        let faults = [
            (Fault::Partition, "a <-> b"),
            (Fault::Clog, "a -> *"),
            (Fault::DialFailure(Probability::percent(50)), "* -> b"),
            (Fault::DialHang, "*"),
            (Fault::Link(change), "a, b <-> c"),
            (Fault::Slow(second), "a, b"),
            (Fault::ClockAhead(second), "a"),
            (Fault::ClockBehind(second), "a"),
            (Fault::ClockDriftPpm(-200), "*"),
            (Fault::Crash, "c"),
            (Fault::ConnectionKill, "a <-> b"),
            (Fault::SlowLookup(second), "a -> b"),
            (Fault::StaleRecord, "a -> b"),
            (Fault::WrongRecord("c".into()), "a -> b"),
            (Fault::NoFileDescriptors, "a"),
            (Fault::RelayDown, "relay-1, relay-2"),
            (Fault::NatExpiry(second), "*"),
        ];
        let mut plan = Plan::new();
        for (number, (what, place)) in faults.into_iter().enumerate() {
            let entry = Entry::new(format!("f{number}"), number as u32 * second, what, place.parse().unwrap());
            plan.push(if number % 2 == 0 { entry } else { entry.until(60 * second) }).unwrap();
        }
        plan
    }

    #[test]
    fn every_fault_reads_back_from_its_toml() {
        let plan = every_fault();
        assert_eq!(plan.entries().len(), Fault::NAMES.len());
        assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan, "{plan}");
    }

    fn refusal(fields: &str) -> String {
        let text = format!("[[fault]]\nid = 'x'\n{fields}");
        text.parse::<Plan>().expect_err(&text).to_string()
    }

    #[test]
    fn what_cannot_be_names_its_entry_and_what_was_expected() {
        for (fields, expected) in [
            ("at = '1s'\nwhat = 'partiton'\nwhere = '*'", "nearest to \"partiton\" is \"partition\""),
            ("at = '1s'\nwhat = { loss = 0.1 }\nwhere = '*'", "the nearest to \"loss\""),
            ("at = '1s'\nwhat = { dial-failure = 1.5 }\nwhere = '*'", "from 0 to 1"),
            ("at = '1s'\nwhat = { link = { loss = -0.5 } }\nwhere = '*'", "from 0 to 1"),
            ("at = '1s'\nwhat = { link = { latencyy = '1s' } }\nwhere = '*'", "latencyy"),
            ("at = '1s'\nwhat = { link = { mtu-bytes = 3 } }\nwhere = '*'", "from 512"),
            ("at = '1s'\nwhat = { clock-drift-ppm = 600000 }\nwhere = 'a'", "500000"),
            ("at = '10'\nwhat = 'clog'\nwhere = '*'", "\"250ms\""),
            ("at = '10s'\nuntil = '10s'\nwhat = 'clog'\nwhere = '*'", "later than at = 10s"),
            ("at = '10s'\nwhat = 'clog'\nwhere = 'a -> a'", "different peers"),
            ("at = '10s'\nwhat = 'crash'\nwhere = 'a -> b'", "expected peers"),
            ("at = '10s'\nwhat = 'no-file-descriptors'\nwhere = 'a -> b'", "expected peers"),
            ("at = '10s'\nwhat = { nat-expiry = '0s' }\nwhere = 'a <-> b'", "expected peers"),
            ("at = '10s'\nwhat = 'relay-down'\nwhere = 'a -> b'", "expected relays"),
            ("at = '10s'\nwhat = { slow-lookup = '400d' }\nwhere = 'a'", "at most a year"),
            ("at = '10s'\nwhat = { wrong-record = 'b' }\nwhere = 'a -> b'", "not at this place"),
        ] {
            let error = refusal(fields);
            assert!(error.contains("fault \"x\"") && error.contains(expected), "{error} lacks {expected}");
        }
        assert!(refusal("at = '1s'\nwhat = 'clog'\nwhere = '*'\nuntill = '2s'").contains("untill"));
    }

    #[test]
    fn a_fault_overlaps_with_itself_only_at_the_same_time_and_place() {
        let entry = |id: &str, from, until, place: &str| {
            let [from, until] = [from, until].map(Duration::from_secs);
            Entry::new(id, from, Fault::Crash, place.parse::<Place>().unwrap()).until(until)
        };
        let plan = Plan::new().with(entry("one", 10, 20, "a, b")).unwrap();
        assert!(plan.clone().with(entry("later", 20, 30, "a")).is_ok());
        assert!(plan.clone().with(entry("elsewhere", 10, 20, "c")).is_ok());
        let error = plan.clone().with(entry("two", 19, 30, "b")).unwrap_err().to_string();
        assert!(error.contains("fault \"two\": crash at \"b\"") && error.contains("\"one\""), "{error}");
        assert!(plan.clone().with(entry("everybody", 0, 11, "*")).is_err());
        let error = plan.with(entry("one", 40, 50, "a")).unwrap_err().to_string();
        assert!(error.contains("no other entry has"), "{error}");
        // The same place in other words.
        for (one, other) in [("a <-> b", "b <-> a"), ("a, b -> c", "b, a -> c"), ("* <-> a", "a <-> *")] {
            let fault = |id, place| format!("[[fault]]\nid='{id}'\nat='1s'\nwhat='partition'\nwhere='{place}'\n");
            let error = [fault("x", one), fault("y", other)].concat().parse::<Plan>().unwrap_err().to_string();
            assert!(error.contains("fault \"y\"") && error.contains("fault \"x\" is not in effect"), "{error}");
            assert!([fault("x", one), fault("y", "a -> b")].concat().parse::<Plan>().is_ok());
        }
    }

    #[test]
    fn peers_that_nobody_knows_are_named_with_the_nearest() {
        let plan: Plan = "[[fault]]\nid='x'\nat='1s'\nwhat='clog'\nwhere='alice -> bbo'".parse().unwrap();
        assert!(plan.check_peers(["alice", "bbo"]).is_ok());
        let error = plan.check_peers(["alice", "bob"]).unwrap_err().to_string();
        assert!(error.contains("fault \"x\": peer \"bbo\"") && error.contains("nearest is \"bob\""), "{error}");
        let peers = ["alice", "bob"];
        let refusal = |what: &str, place: &str| {
            let text = format!("[[fault]]\nid='x'\nat='1s'\nwhat={what}\nwhere='{place}'");
            text.parse::<Plan>().unwrap().check_names(peers, ["relay-1"]).err().map(|error| error.to_string())
        };
        assert_eq!(refusal("'clog'", "alice <-> relay-1"), None, "a link to a relay is one");
        for (what, place, expected) in [
            (
                "'relay-down'",
                "relay-2",
                "relay \"relay-2\" is invalid: expected a known relay; the nearest is \"relay-1\"",
            ),
            ("'relay-down'", "alice", "a known relay"),
            ("'crash'", "relay-1", "a known peer"),
            ("{ wrong-record = 'carl' }", "alice -> bob", "peer \"carl\""),
        ] {
            let error = refusal(what, place).expect(place);
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
    }
}
