//! `p2pd share`.

use p2p::P2PProvider;
use p2p_providers::Role;

use super::{Running, remote, say_admin};
use crate::{
    Console, Error,
    admin::Controls,
    cli::ShareArgs,
    config::{self, ADMIN_PORT_SHARE},
    console::short,
    forward::ServiceName,
    notify::Manager,
    rule::{Rules, ShareRule, Target},
};

pub(super) async fn share(args: ShareArgs, console: Console) -> Result<(), Error> {
    let rules = rules(&args)?;
    let config = config::provider("share", Role::Listener, &args.peer)?;
    let running = Running::start(config, args.run.drain, args.run.grace, console).await?;
    running.until_the_end(serve(&running, rules, args, console)).await
}

async fn serve(running: &Running, rules: Rules, args: ShareArgs, console: Console) -> Result<(), Error> {
    let daemon = &running.daemon;
    running.apply(rules).await?;
    let admin = running.admin(config::admin(args.run.admin, ADMIN_PORT_SHARE), Controls::default()).await?;

    let peer = short(daemon.provider().local_peer_id());
    for rule in daemon.rules().shares {
        console.line(format_args!("Sharing {} as {:?}; this is peer {peer}.", rule.target, rule.name.as_str()));
    }
    say_problems(&**daemon.provider(), console);
    let (ticket, example) = (daemon.ticket(), example(&daemon.rules()));
    console.line("\nOn the other side, run:\n");
    console.line(format_args!("  p2pd connect {} {example}\n", console.bold(&ticket)));
    if args.qr {
        super::ticket::say_qr(&ticket, console)?;
    }
    say_admin(admin.as_ref(), console);
    console.line("Ctrl-C ends it.");
    let _told = Manager::of_process().follow(daemon);
    daemon.run().await;
    Ok(())
}

/// The rules that the arguments ask for.
fn rules(args: &ShareArgs) -> Result<Rules, Error> {
    let reverse_to = args.reverse_to.iter().map(|ticket| remote(ticket)).collect::<Result<Vec<_>, _>>()?;
    let shares = args.targets.iter().map(|text| {
        let (name, target) = named(text, args)?;
        let mut rule = ShareRule::new(name, target);
        rule.allow.peers = args.allow.iter().copied().collect();
        rule.allow.ticket = !args.only_allowed;
        rule.reverse_to.clone_from(&reverse_to);
        rule.bandwidth = args.bandwidth;
        Ok(rule)
    });
    let rules = Rules { shares: shares.collect::<Result<_, Error>>()?, ..Rules::default() };
    rules.check()?;
    Ok(rules)
}

/// A target and its name: the one before `=`, or that of `--name`, or for one of several its kind and port.
fn named(text: &str, args: &ShareArgs) -> Result<(ServiceName, Target), Error> {
    let before = text.split_once('=').filter(|(name, _)| !name.contains([':', '/']));
    let target: Target = before.map_or(text, |(_, target)| target).parse()?;
    let name = match (before, &args.name) {
        (Some((name, _)), _) => name.parse()?,
        (None, Some(name)) => name.clone(),
        (None, None) if args.targets.len() == 1 => ServiceName::default(),
        (None, None) => target.short_name().parse()?,
    };
    Ok((name, target))
}

/// Arguments for the other side that work there at the first try.
fn example(rules: &Rules) -> String {
    let places = (9000..).zip(&rules.shares).map(|(port, rule)| {
        let name = if rules.shares.len() == 1 { String::new() } else { format!("{}=", rule.name) };
        let ports = match rule.target.ports() {
            1 => port.to_string(),
            count => format!("{port}-{}", port + count - 1),
        };
        format!("--listen {name}127.0.0.1:{ports}")
    });
    places.collect::<Vec<_>>().join(" ")
}

/// What keeps peers away, so that nobody sends a ticket that does not work yet without knowing.
fn say_problems(provider: &dyn P2PProvider, console: Console) {
    for check in provider.status().get().checks {
        if let Some(problem) = check.problem {
            console.line(format_args!("{} {}: {problem}", console.yellow("Not ready:"), check.name));
        }
    }
}
