//! Serves a registrar's state over a Unix socket, over TCP, or both.
//!
//! `GET /status` (JSON), `GET /metrics`, `GET /health` (200 or 503), and only from this host
//! `POST /drain?container=NAME` and, to cancel that, `POST /undrain?container=NAME`.

use std::convert::Infallible;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::status_access::{Origin, OwnNames};
use crate::http::BoxedIo;
use crate::http::server::respond::{TEXT, json, typed};
use crate::http::server::{Body, ConnLimit, Permit, accept_until, short_requests};
use crate::protocol::unescaped;
use crate::registrar::{Status, StatusBoard};
use crate::settings::Listen;
use crate::stop::Stop;
use crate::tcp::Liveness;

/// The most connections that a socket serves at once. For a further one the oldest is closed: a request takes milliseconds, so
/// the oldest is one that sends or reads nothing.
const MAX_CONNECTIONS: usize = 64;
const LIMIT_ADVICE: &str = "who leaves connections to the status port open?";
/// How long a whole connection may take.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process behind an existing socket has to accept a connection.
const SOCKET_PROBE_TIMEOUT: Duration = Duration::from_secs(2);

enum Socket {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

/// Bound sockets.
pub(super) struct StatusPage {
    sockets: Vec<Socket>,
    names: OwnNames,
}

/// What every request needs.
struct StatusService {
    status_board: Arc<StatusBoard>,
    names: OwnNames,
}

impl StatusPage {
    /// Binds all addresses.
    pub(super) async fn open(addresses: &[Listen]) -> anyhow::Result<Self> {
        let mut page = Self { sockets: Vec::new(), names: OwnNames::new(addresses) };
        for place in addresses {
            let socket = match place {
                Listen::Unix(path) => unix(path).await,
                Listen::Tcp(address) => tcp(address).await,
            };
            page.sockets.push(socket.with_context(|| format!("cannot listen on {place}"))?);
        }
        Ok(page)
    }

    /// Returns the addresses it listens on, with the ports that were bound.
    pub(super) fn addresses(&self) -> Vec<String> {
        let place = |socket: &Socket| match socket {
            Socket::Unix(_, path) => format!("unix://{}", path.display()),
            Socket::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| String::new(), |at| at.to_string())
            }
        };
        self.sockets.iter().map(place).collect()
    }

    /// Serves until the stop.
    pub(super) async fn run(self, status_board: Arc<StatusBoard>, stop: Stop) -> Result<(), Infallible> {
        let mut listeners = JoinSet::new();
        let service = Arc::new(StatusService { status_board, names: self.names });
        for socket in self.sockets {
            listeners.spawn(serve(socket, Arc::clone(&service), stop.clone()));
        }
        stop.wait().await;
        while listeners.join_next().await.is_some() {}
        Ok(())
    }
}

async fn tcp(address: &str) -> anyhow::Result<Socket> {
    let listener = TcpListener::bind(address).await?;
    Liveness::ACCEPTED.set(&listener);
    Ok(Socket::Tcp(listener))
}

/// Binds a socket that only its owner can use. Replaces an existing one when no process accepts on it.
async fn unix(path: &Path) -> anyhow::Result<Socket> {
    let folder = path.parent().context("it is not the path of a file")?;
    let name = path.file_name().context("it is not the path of a file")?.to_string_lossy().into_owned();
    let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))?;
    match fs::symlink_metadata(path) {
        Ok(there) if !there.file_type().is_socket() => {
            anyhow::bail!("{} exists and is not a socket; name another path", path.display());
        }
        Ok(_) => match timeout(SOCKET_PROBE_TIMEOUT, UnixStream::connect(path)).await {
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
            Ok(Err(error)) => return Err(error).context("cannot check whether another process uses it"),
            Ok(Ok(_)) | Err(_) => {
                anyhow::bail!("another process uses it; stop that one, or name another place")
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    // Bound under another name until its mode is right: nobody else may connect before.
    let hidden = folder.join(format!(".{name}.{}", std::process::id()));
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(&hidden)?;
    let placed = fs::set_permissions(&hidden, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&hidden, path));
    if let Err(error) = placed {
        fs::remove_file(&hidden).ok();
        return Err(error.into());
    }
    Ok(Socket::Unix(listener, path.to_owned()))
}

async fn serve(socket: Socket, service: Arc<StatusService>, stop: Stop) {
    let limit = Arc::new(ConnLimit::new(MAX_CONNECTIONS, 0, LIMIT_ADVICE));
    let admit =
        |(stream, from)| Some(serve_connection(stream, Arc::clone(&service), from, limit.admit(|| false)?));
    let failing = |error: &io::Error| tracing::debug!("cannot accept a connection: {error}");
    let accept = || async {
        limit.let_close().await;
        accept(&socket).await
    };
    let connections = accept_until(&stop, usize::MAX, accept, admit, failing).await;
    drop(connections);
    if let Socket::Unix(listener, path) = socket {
        drop(listener);
        fs::remove_file(path).ok();
    }
}

/// Returns the next connection, and where it comes from.
async fn accept(socket: &Socket) -> io::Result<(BoxedIo, Origin)> {
    match socket {
        Socket::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            Ok((Box::new(stream), Origin::Socket))
        }
        Socket::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            let from: IpAddr = from.ip().to_canonical();
            Ok((Box::new(stream), if from.is_loopback() { Origin::Loopback } else { Origin::Network }))
        }
    }
}

/// Serves one request, until its time limit or until a new connection needs the place.
async fn serve_connection(stream: BoxedIo, service: Arc<StatusService>, from: Origin, permit: Permit) {
    let respond = service_fn(|request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        let response = service.respond(&head, from);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = short_requests().keep_alive(false).serve_connection(TokioIo::new(stream), respond);
    tokio::select! {
        // An error belongs to the client: it closed the connection, sent no valid HTTP, or was too slow.
        _ = timeout(CONNECTION_TIMEOUT, serving) => {}
        () = permit.slot().closed() => {}
    }
}

impl StatusService {
    fn respond(&self, head: &Parts, from: Origin) -> Response<Body> {
        let mut response = match self.names.refusal(head, from) {
            Some((status, says)) => text(status, says),
            None => respond(head, &self.status_board),
        };
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn respond(head: &Parts, status_board: &StatusBoard) -> Response<Body> {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/status") => match serde_json::to_string_pretty(&status_board.status()) {
            Ok(text) => json(StatusCode::OK, text + "\n"),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        (&Method::GET, "/metrics") => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            typed(StatusCode::OK, kind, status_board.metrics())
        }
        (&Method::GET, "/health") => match unhealthy_reason(&status_board.status()) {
            None => text(StatusCode::OK, "well".to_owned()),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        (&Method::POST, "/drain") => drain(head, status_board, true),
        (&Method::POST, "/undrain") => drain(head, status_board, false),
        _ => text(
            StatusCode::NOT_FOUND,
            "use GET /status, /metrics or /health, or POST /drain or /undrain".to_owned(),
        ),
    }
}

/// Returns why the registrar itself is unhealthy; an unhealthy container does not count.
fn unhealthy_reason(status: &Status) -> Option<String> {
    if !status.engine_error.is_empty() {
        return Some(format!("the engine is unreachable: {}", status.engine_error));
    }
    if !status.store_error.is_empty() {
        return Some(format!("the store is unreachable: {}", status.store_error));
    }
    (!status.complete).then(|| "not every container has been checked yet".to_owned())
}

fn drain(head: &Parts, status_board: &StatusBoard, out: bool) -> Response<Body> {
    let pairs = head.uri.query().unwrap_or_default().split('&');
    let container = pairs.filter_map(|pair| pair.strip_prefix("container=")).map(unescaped).next_back();
    match container.filter(|container| !container.is_empty()) {
        Some(container) if !out => {
            tracing::info!("cancelling the drain of {container:?}");
            status_board.cancel_drain(&container);
            text(StatusCode::ACCEPTED, "its keys will be added again".to_owned())
        }
        Some(container) => {
            tracing::info!("draining {container:?}");
            status_board.request_drain(&container);
            text(StatusCode::ACCEPTED, "its keys will be removed".to_owned())
        }
        None => text(StatusCode::BAD_REQUEST, "name the container: /drain?container=NAME".to_owned()),
    }
}

fn text(status: StatusCode, message: String) -> Response<Body> {
    typed(status, TEXT, message + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::request::request;
    use super::*;

    fn at(folder: &tempfile::TempDir) -> Listen {
        Listen::Unix(folder.path().join("deep/register.sock"))
    }

    fn body(response: &str) -> String {
        response.trim_end().to_owned()
    }

    struct Served {
        stop: Stop,
        status_board: Arc<StatusBoard>,
        set: JoinSet<Result<(), Infallible>>,
        places: Vec<String>,
    }

    impl Served {
        async fn open(places: &[Listen]) -> Self {
            let page = StatusPage::open(places).await.unwrap();
            let (stop, status_board, mut set) = (Stop::new(), Arc::new(StatusBoard::new()), JoinSet::new());
            let places = page.addresses();
            set.spawn(page.run(Arc::clone(&status_board), stop.clone()));
            Self { stop, status_board, set, places }
        }

        async fn end(mut self) {
            self.stop.request();
            while self.set.join_next().await.is_some() {}
        }
    }

    #[tokio::test]
    async fn each_route_is_served_and_the_socket_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let place = at(&folder);
        let served = Served::open(std::slice::from_ref(&place)).await;
        let Listen::Unix(path) = &place else { unreachable!("it is one") };
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        let (code, status) = request(&place, "GET", "/status").await.unwrap();
        assert_eq!((code, serde_json::from_slice(&status).ok()), (200, Some(Status::default())));
        let (code, metrics) = request(&place, "GET", "/metrics").await.unwrap();
        assert!(code == 200 && String::from_utf8_lossy(&metrics).contains("# TYPE"));
        let (code, why) = request(&place, "GET", "/health").await.unwrap();
        assert_eq!((code, &why[..]), (503, &b"not every container has been checked yet\n"[..]));
        for (method, target, wanted) in [
            ("POST", "/drain?container=web%2d1", 202),
            ("POST", "/drain", 400),
            ("POST", "/drain?container=", 400),
            ("GET", "/drain?container=web", 404),
            ("GET", "/", 404),
        ] {
            assert_eq!(request(&place, method, target).await.unwrap().0, wanted, "{method} {target}");
        }
        assert!(format!("{:?}", served.status_board).contains("web-1"));
        served.end().await;
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn only_a_socket_without_a_listener_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = at(&folder);
        let Listen::Unix(path) = &place else { unreachable!("it is one") };
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        assert!(path.exists(), "a stale one");
        let served = Served::open(std::slice::from_ref(&place)).await;
        assert_eq!(request(&place, "GET", "/status").await.unwrap().0, 200);
        let second = StatusPage::open(std::slice::from_ref(&place)).await.err().unwrap();
        assert!(format!("{second:#}").contains("another process uses it"), "{second:#}");
        served.end().await;
        fs::write(path, "a file").unwrap();
        let refused = StatusPage::open(std::slice::from_ref(&place)).await.err().unwrap();
        assert!(format!("{refused:#}").contains("is not a socket"), "{refused:#}");
        assert_eq!(fs::read_to_string(path).unwrap(), "a file");
    }

    #[tokio::test]
    async fn over_tcp_only_this_host_may_drain() {
        let served = Served::open(&[Listen::Tcp("127.0.0.1:0".to_owned())]).await;
        let place = Listen::Tcp(served.places[0].clone());
        assert_eq!(request(&place, "GET", "/status").await.unwrap().0, 200);
        assert_eq!(request(&place, "POST", "/drain?container=web").await.unwrap().0, 202);
        served.end().await;
        let service = StatusService { status_board: Arc::new(StatusBoard::new()), names: OwnNames::new(&[]) };
        let asked = |from: Origin, origin: Option<&str>| {
            let mut request = Request::post("/drain?container=other").header("host", "127.0.0.1:1");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            service.respond(&request.body(()).unwrap().into_parts().0, from).status()
        };
        assert_eq!(asked(Origin::Network, None), StatusCode::FORBIDDEN, "from elsewhere");
        assert_eq!(
            asked(Origin::Loopback, Some("http://evil.example")),
            StatusCode::FORBIDDEN,
            "from a browser"
        );
        assert!(!format!("{:?}", service.status_board).contains("other"));
        assert_eq!(asked(Origin::Loopback, None), StatusCode::ACCEPTED);
    }

    #[tokio::test]
    async fn silent_connections_do_not_delay_a_request() {
        let served = Served::open(&[Listen::Tcp("127.0.0.1:0".to_owned())]).await;
        let place = Listen::Tcp(served.places[0].clone());
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS + 20 {
            silent.push(tokio::net::TcpStream::connect(served.places[0].as_str()).await.unwrap());
        }
        let begun = std::time::Instant::now();
        assert_eq!(request(&place, "GET", "/status").await.unwrap().0, 200);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // The first was closed for it, the last was not.
        let read = async |at: usize| timeout(Duration::from_millis(100), silent[at].readable()).await.is_ok();
        assert!(read(0).await && !read(silent.len() - 1).await);
        drop(silent);
        served.end().await;
    }

    #[tokio::test]
    async fn a_name_that_resolves_here_is_no_name_of_this_host() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let served = Served::open(&[Listen::Tcp("127.0.0.1:0".to_owned())]).await;
        for (host, wanted) in [("evil.example", "421"), ("a\r\nHost: a", "400"), ("localhost", "200")] {
            let mut stream = tokio::net::TcpStream::connect(served.places[0].as_str()).await.unwrap();
            let head = format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert!(said.starts_with(&format!("HTTP/1.1 {wanted} ")), "{host}: {said}");
            assert!(said.contains("nosniff"), "{said}");
        }
        served.end().await;
    }

    #[tokio::test]
    async fn accepted_connections_have_keepalive() {
        let Socket::Tcp(listener) = tcp("127.0.0.1:0").await.unwrap() else { unreachable!("it is TCP") };
        let address = listener.local_addr().unwrap();
        let (_asker, accepted) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        assert!(crate::tcp::is_watched(&accepted.unwrap().0));
    }

    #[test]
    fn healthy_when_engine_and_store_are_reachable_and_all_containers_were_checked() {
        let well = Status { complete: true, ..Status::default() };
        assert_eq!(unhealthy_reason(&well), None);
        let gone = Status { engine_error: "gone".to_owned(), ..well.clone() };
        assert_eq!(
            unhealthy_reason(&gone).map(|why| body(&why)),
            Some("the engine is unreachable: gone".to_owned())
        );
        assert!(unhealthy_reason(&Status { store_error: "gone".to_owned(), ..well }).is_some());
    }
}
