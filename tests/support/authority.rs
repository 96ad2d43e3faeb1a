//! A certificate authority for one test, made with the `openssl` program.

use std::process::{Command, Stdio};

use super::Dir;
use super::programs::need_program;

/// An authority whose files lie in a test's folder.
pub struct Authority<'d> {
    dir: &'d Dir,
    name: String,
}

/// The server's certificate is also a client certificate: etcd's gateway presents it to etcd itself.
const CONFIG: &str = "\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = retune test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
subjectAltName = IP:127.0.0.1, DNS:localhost
extendedKeyUsage = serverAuth, clientAuth
[zone]
subjectAltName = IP:127.0.0.1, DNS:localhost, DNS:n0.test, DNS:n1.test, DNS:n2.test
extendedKeyUsage = serverAuth, clientAuth
[client]
extendedKeyUsage = clientAuth
";

impl<'d> Authority<'d> {
    /// Creates a new authority; returns `None` where openssl is not installed.
    pub fn new(dir: &'d Dir, name: &str) -> Option<Self> {
        if !need_program("openssl") {
            return None;
        }
        let authority = Self { dir, name: name.to_owned() };
        dir.write("openssl.cnf", CONFIG);
        let words = ["req", "-x509", "-extensions", "authority", "-days", "2"];
        authority.new_key(&words, name, &authority.ca());
        Some(authority)
    }

    /// Returns the authority's certificate.
    pub fn ca(&self) -> String {
        self.certificate(&self.name)
    }

    /// Signs a certificate for `kind`, `server` (at 127.0.0.1), `zone` (the same with the hosts of a zone) or
    /// `client`; returns the files of certificate and key.
    pub fn sign(&self, kind: &str) -> (String, String) {
        self.sign_for(kind, 2)
    }

    /// The same, valid for this many days; one of 0 days has expired a second later.
    pub fn sign_for(&self, kind: &str, days: u32) -> (String, String) {
        let name = format!("{}-{kind}", self.name);
        let (request, certificate) = (self.dir.text_path(&format!("{name}.csr")), self.certificate(&name));
        self.new_key(&["req", "-new"], &name, &request);
        let (ca, key, config) = (self.ca(), self.key(&self.name), self.dir.text_path("openssl.cnf"));
        let days = days.to_string();
        let words =
            ["x509", "-req", "-days", &days, "-set_serial", "7", "-extensions", kind, "-extfile", &config];
        openssl(&[&words[..], &["-CA", &ca, "-CAkey", &key, "-in", &request, "-out", &certificate]].concat());
        (certificate, self.key(&name))
    }

    /// Signs a certificate of X.509 version 1 for `localhost`, with a key of this kind (`ec` or `rsa`).
    pub fn sign_version_1(&self, kind: &str) -> (String, String) {
        let name = format!("{}-old-{kind}", self.name);
        let (request, certificate, key) =
            (self.dir.text_path(&format!("{name}.csr")), self.certificate(&name), self.key(&name));
        let config = self.dir.text_path("openssl.cnf");
        let of_kind: &[&str] = match kind {
            "rsa" => &["-newkey", "rsa:2048"],
            _ => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
        };
        let rest =
            ["-nodes", "-config", &config, "-subj", "/CN=localhost", "-keyout", &key, "-out", &request];
        openssl(&[&["req", "-new"], of_kind, &rest].concat());
        let (ca, ca_key) = (self.ca(), self.key(&self.name));
        let words = ["x509", "-req", "-days", "2", "-set_serial", "9", "-CA", &ca, "-CAkey", &ca_key];
        openssl(&[&words[..], &["-in", &request, "-out", &certificate]].concat());
        let shown = Command::new("openssl").args(["x509", "-noout", "-text", "-in", &certificate]).output();
        assert!(String::from_utf8_lossy(&shown.unwrap().stdout).contains("Version: 1 (0x0)"));
        (certificate, key)
    }

    /// Creates a key of a kind that few programs support.
    pub fn uncommon_key(&self) -> String {
        let key = self.key("odd");
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp521r1", "-out", &key]);
        key
    }

    fn certificate(&self, name: &str) -> String {
        self.dir.text_path(&format!("{name}.pem"))
    }

    fn key(&self, name: &str) -> String {
        self.dir.text_path(&format!("{name}.key"))
    }

    fn new_key(&self, words: &[&str], name: &str, out: &str) {
        let (key, config) = (self.key(name), self.dir.text_path("openssl.cnf"));
        let subject = format!("/CN={name}");
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let rest = ["-config", &config, "-subj", &subject, "-keyout", &key, "-out", out];
        openssl(&[words, &curve[..], &rest[..]].concat());
    }
}

fn openssl(words: &[&str]) {
    let done = Command::new("openssl").args(words).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&done.stderr));
}
