//! The viewer in a real browser: it loads a large trace, the slider moves the picture, a click says what led to a message.

mod browser;

use std::{fs, path::PathBuf, time::Duration};

use p2p::{P2PProvider, RuntimeExt};
use p2p_simulator::{
    Fault, LinkConfig, Place, Probability, Simulation, Trace, TraceMode,
    load::{Exchange, Ring},
};
use serde_json::Value;

use self::browser::Browser;

const RECORDS: usize = 50_000;

/// Twelve peers in a ring that exchange messages, of which one is cut off for a while and another crashes.
fn trace() -> Trace {
    let link = LinkConfig::default().with_loss(Probability::percent(2)).with_dial_failure(Probability::NEVER);
    let simulation = Simulation::new(7).with_link(link).with_trace(TraceMode::Keep);
    let run = simulation.run(|network| async move {
        let ring = Ring::connect(&network, 12).await.expect("no dial fails here");
        network.note("peer-0", "the ring is closed");
        let cut = network.inject(Fault::Partition, Place::peer("peer-3"));
        network.provider("clock").runtime().sleep(Duration::from_secs(2)).await;
        drop(cut);
        let exchange = Exchange { message_bytes: 64, in_flight: 4, messages: 8_000 };
        ring.exchange(exchange).await.expect("connections last");
    });
    run.trace
}

/// A page with that trace, and a browser that has it open. Nothing if there is no browser.
fn opened(test: &str) -> Option<(Browser, Page)> {
    let browser = Browser::start()?;
    let page =
        Page(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("viewer-{test}-{}.html", std::process::id())));
    let trace = trace();
    assert!(trace.kept.len() >= RECORDS, "only {} records", trace.kept.len());
    trace.write_html(fs::File::create(&page.0).unwrap(), "a ring", None).unwrap();
    browser.open(&page.0, "");
    Some((browser, page))
}

/// The file, removed in the end.
struct Page(PathBuf);

impl Drop for Page {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What stands on both pictures, as text, once they are drawn.
fn pictures(browser: &Browser) -> [Value; 2] {
    browser.run("viewer.draw()");
    ["network", "lanes"].map(|id| browser.run(&format!("return document.getElementById('{id}').toDataURL()")))
}

#[test]
fn a_trace_of_50_000_events_is_loaded_and_drawn() {
    let Some((browser, _page)) = opened("loads") else { return };
    let count = browser.run("return viewer.trace.count").as_u64().unwrap();
    assert!(count >= RECORDS as u64, "{count} records in the page");
    let text = browser.run("return document.getElementById('counts').textContent");
    assert!(text.as_str().unwrap().contains("events"), "{text}");
    let [network, lanes] = pictures(&browser);
    browser.run("for (const id of ['network', 'lanes']) { const c = document.getElementById(id); c.width = c.width; }");
    let blank =
        ["network", "lanes"].map(|id| browser.run(&format!("return document.getElementById('{id}').toDataURL()")));
    assert!(network != blank[0] && lanes != blank[1], "something is drawn");
    let log = browser.run("return document.getElementById('log').textContent");
    assert!(log.as_str().unwrap().contains("partition at peer-3"), "{log}");
    assert!(log.as_str().unwrap().contains("the ring is closed"), "{log}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_slider_moves_both_pictures_and_the_clock() {
    let Some((browser, _page)) = opened("slider") else { return };
    let now = || browser.run("return viewer.state.now").as_f64().unwrap();
    let shown = || browser.run("return document.getElementById('now').textContent");
    let (start, clock, before) = (now(), shown(), pictures(&browser));
    // As somebody does who has no mouse: page up, twice.
    browser.type_on("#time", "\u{E00E}\u{E00E}");
    let after = pictures(&browser);
    assert!(now() > start, "the time has moved");
    assert_ne!(shown(), clock);
    assert!(before[0] != after[0] && before[1] != after[1], "both pictures have moved");
    // As with a mouse.
    let middle = browser.run(
        "const box = document.getElementById('time').getBoundingClientRect();
         return [box.left + box.width / 2, box.top + box.height / 2]",
    );
    browser.click(middle[0].as_f64().unwrap(), middle[1].as_f64().unwrap());
    let end = browser.run("return viewer.trace.end").as_f64().unwrap();
    assert!((0.4..0.6).contains(&(now() / end)), "{} of {end}", now());
    assert!(pictures(&browser) != after);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_click_on_a_message_says_what_led_to_it() {
    let Some((browser, _page)) = opened("click") else { return };
    // A message that answers another, in the middle of the run, so near that its line stands alone.
    let place = browser.run(
        "const { trace, lanes } = viewer;
         const m = trace.messages.find((m) => m.from > trace.end / 2 && m.end > 0 && m.to - m.from < 52e6 && trace.messageOf[trace.parent[m.sent]] >= 0);
         lanes.move(m.from - 2e6, 60e6);
         viewer.seek(m.from);
         viewer.draw();
         const box = document.getElementById('lanes').getBoundingClientRect();
         const y = (lanes.y(m.src) + lanes.y(m.dst)) / 2;
         return [box.left + (lanes.x(m.from) + lanes.x(m.to)) / 2, box.top + y]",
    );
    browser.click(place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    assert!(browser.run("return viewer.state.picked").as_i64().unwrap() >= 0, "a message is picked");
    let details = browser.run("return document.getElementById('details').innerText");
    let details = details.as_str().unwrap().to_lowercase();
    assert!(details.contains("because of") && details.contains(" arrived") && details.contains(" → "), "{details}");
    // Its causes can be followed.
    let before = browser.run("return viewer.state.picked");
    browser.run("document.querySelector('#details ol li').click()");
    assert_ne!(browser.run("return viewer.state.picked"), before);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
