//! What `p2pd init` writes.

/// A file that says what there is to say, most of it behind `#`. It is valid as it stands.
pub const TEMPLATE: &str = r#"# p2pd.toml: what this machine shares with peers, and what it uses of theirs.
#
#   p2pd config check     is it all right?
#   p2pd config show      which value holds, and where it came from
#   p2pd up               run it; a change of the file is taken without breaking off what is open
#
# A variable comes before this file, and a flag before both: P2P_LISTEN_PORT stands for network.listen_port, P2PD_DRAIN for
# daemon.drain, and so on.

[network]
# The UDP port that peers reach. Forward it on your router if you can.
#listen_port = 8800
# The secret key, which is who this peer is. Made if there is none; readable by its owner alone.
#key_file = "/var/lib/p2pd/key"
# Relays introduce peers that are behind NATs and carry what has no direct path. They see only ciphertext.
#relay_servers = ["relay.example"]
#relay_token = "…"
#relay_ca_file = "relays.pem"
# `production` announces nothing on the local network and asks the router for nothing, unless told to.
#profile = "production"
#lan_discovery = true
#port_mapping = true
# Tickets of peers to know from the start.
#bootstrap_peers = []

[daemon]
# Where /metrics, /livez and /readyz are answered, or "off".
#admin = "127.0.0.1:8801"
# How long open connections may take to end by themselves when p2pd is told to stop.
#drain = "10s"
# How long a connection waits for a lost relay or network before it breaks off.
#grace = "60s"
# Whether a change of this file is taken by itself. `kill -HUP` takes it in any case.
#watch = true

# Names for peers: an id, as `p2pd id` prints it there, or a ticket.
[peers]
#laptop = "0000000000000000000000000000000000000000000000000000000000000000"

# What peers get. Each [[share]] is one service.
#[[share]]
#name = "web"
#target = "tcp://127.0.0.1:8080"     # or udp://, tcp+udp://, http://, unix:/path; a range is 8000-8010
#allow = ["ticket", "laptop"]        # whoever has a ticket (the default), peers by name or id, or "anyone"
#bandwidth = "10 MB/s"               # all streams together, in each direction

# HTTP by host and path.
#[[share]]
#name = "sites"
#[[share.route]]
#host = "blog.example"
#target = "http://127.0.0.1:3000"
#[[share.route]]
#path = "/api"
#target = "http://127.0.0.1:4000"

# A proxy into this network, for peers that listen with socks5:// or http-proxy://.
#[[share]]
#name = "lan"
#destinations = ["192.168.1.0/24", "*.lan:443"]
#allow = ["laptop"]

# A service for a peer that cannot dial here: this one dials it.
#[[share]]
#name = "ssh"
#target = "tcp://127.0.0.1:22"
#allow = []
#reverse_to = ["laptop"]

# What is used of peers. Each [[connect]] is one local address.
#[[connect]]
#peer = "laptop"                     # a name, an id or a ticket
#service = "web"
#listen = "127.0.0.1:9000"           # or udp://, tcp+udp://, unix:/path, socks5://, http-proxy://
#name = "laptops-web"                # in logs and metrics; by default like the service
#reverse = false                     # whether the peer dials, with reverse_to
"#;
