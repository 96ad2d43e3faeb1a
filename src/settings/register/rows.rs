//! The options of a registrar: Registrator's names where it has one, and dockreg's.

use super::super::invocation::CommandId::{self, Register, RegisterStatus, RegisterStop};
use super::super::row::ValueKind::{self, Choice, List, Number, Path, Repeat, Span, Switch, Text};
use super::super::row::{self, Row};

const STOP: &[CommandId] = &[RegisterStop];
const ENGINE: &[CommandId] = &[Register, RegisterStop];
const HEALTHS: ValueKind = Choice(&["running", "tcp", "http"]);

const fn row(name: &'static str, kind: ValueKind, help: &'static str) -> Row {
    row::row(name, kind, &[Register], help)
}

/// The engine, and the status listener.
pub(in crate::settings) const ENGINE_ROWS: &[Row] = &[
    row::row(
        "engine",
        Text,
        ENGINE,
        "Where the container engine listens: a URL or the path of a socket; DOCKER_HOST when not given, else \
         /var/run/docker.sock, else podman's socket",
    )
    .takes("URL")
    .also(&["docker"]),
    row::row(
        "engine-ca",
        Path,
        ENGINE,
        "PEM file of the engine's authorities; like the next two from DOCKER_CERT_PATH when \
         DOCKER_TLS_VERIFY or DOCKER_TLS is set",
    ),
    row::row("engine-cert", Path, ENGINE, "PEM file of the certificate shown to the engine"),
    row::row("engine-key", Path, ENGINE, "PEM file of that certificate's key"),
    row::row(
        "listen",
        List,
        &[Register, RegisterStatus, RegisterStop],
        "Where the registrar serves status and metrics: unix:///PATH or HOST:PORT, or none; may be repeated; \
         retune/register.sock in /run for root, else in XDG_RUNTIME_DIR, when not given",
    )
    .takes("ADDR"),
];

/// What is registered, and for how long.
pub(in crate::settings) const REGISTRAR_ROWS: &[Row] = &[
    row("node-name", Text, "Name of this node; by default the engine's host name").takes("NAME"),
    row("label", Repeat, "Label of this node, as NAME=VALUE; may be repeated").takes("LABEL"),
    row(
        "engine-address",
        Text,
        "Address of the engine for docker -H on other hosts; by default the engine's URL when that is TCP, \
         else ssh:// and the node's address, when not given",
    )
    .takes("URL"),
    row(
        "publish-node",
        Switch,
        "Publish the record of this node, from which `retune place` chooses; on, off with =false",
    ),
    row("ip", Text, "Address of every service; by default that of the default route").takes("ADDR"),
    row("internal", Switch, "Register the container's own address and port"),
    row("explicit", Switch, "Register only containers that set SERVICE_NAME"),
    row("use-ip-from-label", Text, "Container label that holds the address")
        .takes("LABEL")
        .also(&["useIpFromLabel"]),
    row("tags", Repeat, "Tags of every service, separated by commas; \\, is a comma").takes("TAGS"),
    row("ttl", Span, "How long keys outlive their registrar, in whole seconds; 0: for ever").default("20s"),
    row("ttl-refresh", Span, "How often leases are renewed; a third of --ttl when not given"),
    row("relist", Span, "How often all containers are listed again").also(&["resync"]).default("30s"),
    row(
        "grace",
        Span,
        "How long the engine may be unreachable before services without a check of their own are checked by \
         TCP",
    )
    .also(&["docker-grace"])
    .default("60s"),
    row(
        "deregister",
        Choice(&["always", "on-success"]),
        "When the key of an ended container is removed: at once, or at once only after exit status 0",
    )
    .default("always"),
    row(
        "on-exit",
        Choice(&["keep", "remove"]),
        "What happens to the keys when the registrar stops: keep lets their leases expire; by default keep, \
         remove with --self",
    ),
    row("once", Switch, "Register the running containers, wait for their first checks, and exit"),
    row("dry-run", Switch, "Write nothing to the store; print what would be written"),
    row("retry-attempts", Number, "How often the store is tried at the start before giving up; 0: for ever")
        .takes("N")
        .default("0"),
    row("retry-interval", Span, "The wait between those tries").default("2s"),
];

/// Where keys are, and their values.
pub(in crate::settings) const KEY_ROWS: &[Row] = &[
    row(
        "layout",
        Choice(&["registrator", "dockreg", "skydns"]),
        "Form of the keys: PREFIX/NAME/ID, PREFIX/KEY/IP:PORT, or /skydns/DOMAIN/NAME/ID; registrator when \
         not given, dockreg with --self",
    ),
    row("key", Text, "Directory of the layout dockreg; service when not given").takes("DIR"),
    row("domain", Text, "Domain of the layout skydns"),
    row("key-template", Text, "Template of the key below --prefix, in place of a layout").takes("TEMPLATE"),
    row("value-template", Text, "Template of the value; goes with --key-template").takes("TEMPLATE"),
    row("value", Choice(&["address", "json"]), "Value of the keys: ip:port, or JSON with all details")
        .default("address"),
    row(
        "suffix",
        Choice(&["exposed", "published", "always", "never"]),
        "When a name gets its port as a suffix: with several ports exposed, with several registered, always \
         or never",
    )
    .default("exposed"),
];

/// How services without their own settings are checked.
pub(in crate::settings) const HEALTH_ROWS: &[Row] = &[
    row("health", HEALTHS, "The check of a service that has none: running, http with --self, or tcp"),
    row("health-interval", Span, "Time between two checks").also(&["check-interval"]).default("5s"),
    row("health-timeout", Span, "How long one check may take").default("3s"),
    row("health-rise", Number, "Passes in a row before a key is written").default("1"),
    row("health-fall", Number, "Failures in a row before it is removed").default("1"),
    row(
        "health-via",
        Choice(&["published", "container"]),
        "Which address is checked: the registered one or the container's own; by default published, \
         container with --self",
    ),
];

/// Registering the container that the registrar runs in.
pub(in crate::settings) const OWN_ROWS: &[Row] = &[
    row(
        "self",
        Switch,
        "Register only the container that this runs in: keys as dockreg's, checked by HTTP, removed at the \
         end",
    ),
    row("container", Text, "With --self: id or name of the own container; detected when not given")
        .takes("ID"),
    row("port", List, "With --self: the container's port to register; may be repeated").takes("PORT"),
];

/// Draining and stopping a container.
pub(in crate::settings) const STOP_ROWS: &[Row] = &[
    row::row("container", Text, STOP, "Id or name of the container; the last word alone means the same")
        .takes("ID"),
    row::row("drain", Span, STOP, "How long consumers have between the removal of the keys and the stop")
        .default("10s"),
    row::row(
        "stop-timeout",
        Span,
        STOP,
        "How long the container has before it is killed; the engine decides when not given",
    ),
];
