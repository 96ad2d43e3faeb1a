//! Which container's network a container uses, and its address in it.

use std::net::IpAddr;

use super::super::container::{Container, ContainerState, Network};

/// How many containers may share one network in a chain.
const MAX_NETWORK_HOPS: usize = 8;

/// Where a container's ports are.
pub(super) enum NetworkOwner<'c> {
    /// On the host itself.
    Host,
    /// It has no network.
    NoNetwork,
    /// In networks of its own.
    Own(&'c Container),
    /// In the networks of this other container.
    Other(Box<Container>),
}

impl<'c> NetworkOwner<'c> {
    /// Finds the owner. The error is for the user: the other container is missing.
    pub(super) fn of(
        container: &'c Container,
        other: &dyn Fn(&str) -> Option<Container>,
    ) -> Result<Self, String> {
        let mut owner: Option<Box<Container>> = None;
        for _ in 0..MAX_NETWORK_HOPS {
            let next = match owner.as_deref().unwrap_or(container).network_mode.as_str() {
                "host" => return Ok(Self::Host),
                "none" => return Ok(Self::NoNetwork),
                mode => match mode.strip_prefix("container:") {
                    None => return Ok(owner.map_or(Self::Own(container), Self::Other)),
                    Some(next) => next.to_owned(),
                },
            };
            owner = Some(Box::new(other(&next).ok_or_else(|| {
                format!(
                    "it shares the network of container {}, which the engine does not have; start that one again, \
                     then this",
                    shown(&next)
                )
            })?));
        }
        Err(format!(
            "more than {MAX_NETWORK_HOPS} containers share one network in a row; name the owner of the network itself"
        ))
    }

    /// Returns the container's own address in the network `wanted`; `host` is the host's address.
    pub(super) fn address(&self, host: Option<IpAddr>, wanted: Option<&str>) -> Result<IpAddr, String> {
        match self {
            Self::Host => host.ok_or_else(|| NO_HOST.to_owned()),
            Self::NoNetwork => Err("it has no network".to_owned()),
            Self::Own(owner) => own(owner, wanted),
            Self::Other(owner) => own(owner, wanted),
        }
    }
}

/// The message when the host's own address is needed but unknown.
pub(super) const NO_HOST: &str =
    "no address of this host was found; name the one that others reach it by with --ip";

fn own(owner: &Container, wanted: Option<&str>) -> Result<IpAddr, String> {
    let names = || match owner.networks.len() {
        0 => "no network".to_owned(),
        _ => owner.networks.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let mode = if owner.network_mode == "default" { "bridge" } else { &owner.network_mode };
    let (name, network) = match wanted {
        Some(wanted) => owner.networks.get_key_value(wanted).ok_or_else(|| {
            format!("SERVICE_NETWORK names {}, and the container is in {}", shown(wanted), names())
        })?,
        None => match (owner.networks.get_key_value(mode), owner.networks.first_key_value()) {
            (Some(found), _) => found,
            (None, Some(only)) if owner.networks.len() == 1 => only,
            (None, Some(_)) => {
                let names = names();
                return Err(format!(
                    "the container is in several networks ({names}); say which address is meant with the label \
                     SERVICE_NETWORK"
                ));
            }
            (None, None) => return Err("the container is in no network".to_owned()),
        },
    };
    address_in(network).ok_or_else(|| match owner.run_state {
        ContainerState::NotRunning => {
            format!("the container has no address in the network {name}: it is not running")
        }
        ContainerState::Running | ContainerState::Paused | ContainerState::Restarting => format!(
            "the container has no address in the network {name}; name another with the label SERVICE_NETWORK"
        ),
    })
}

fn address_in(network: &Network) -> Option<IpAddr> {
    network.v4.or(network.v6)
}

/// Formats a user's text for a message: quoted, so that nothing hides in it, and shortened.
pub(super) fn shown(text: &str) -> String {
    const MAX_EXCERPT_CHARS: usize = 80;
    match text.char_indices().nth(MAX_EXCERPT_CHARS) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}
