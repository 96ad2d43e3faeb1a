//! Stores as in production: behind TLS, with logins, with several nodes; and folders of files.

mod logins;
mod nodes;
mod tls;
