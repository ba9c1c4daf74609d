//! What TLS connections are made with: rustls, one provider. Read and checked when the manager is made, so that a missing
//! file is told by its option's name.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::endpoint::ServerAddress;
use crate::config::TlsConfig;
use crate::dialect::Dialect;
use crate::error::Error;

const PEM_BEGIN: &str = "-----BEGIN";

#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    /// The name that certificates must be for, where it is not the host's.
    server_name: Option<String>,
}

impl Tls {
    /// # Errors
    /// `ConfigError` that names the option; what was given is shown where it is a path.
    pub(super) fn new(given: &TlsConfig) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        match &given.ca {
            Some(ca) => {
                for certificate in certificates("tls.ca", ca)? {
                    roots.add(certificate).map_err(|error| fault("tls.ca", ca, &error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err(Error::config(format!(
                        "the system has no certificates of authorities: install them, or give tls.ca; a right example: {}",
                        Dialect::of_host().example("tls.ca", "\"/etc/ssl/redis-ca.pem\"")
                    )));
                }
            }
        }
        if let Some(name) = &given.server_name {
            ServerName::try_from(name.clone()).map_err(|_| {
                let option = Dialect::of_host().spell("server_name");
                Error::config(format!("tls.{option}={name:?} is no host name and no IP address"))
            })?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::config(format!("TLS cannot be used: {error}")))?
            .with_root_certificates(roots);
        let config = match (&given.cert, &given.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls.cert", cert)?, private_key(key)?)
                .map_err(|error| Error::config(format!("tls.cert and tls.key do not fit: {error}")))?,
            _ => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(config), server_name: given.server_name.clone() })
    }

    /// The name that the certificate of the server there must be for.
    pub(super) fn name_of(&self, address: &ServerAddress) -> String {
        self.server_name.clone().unwrap_or_else(|| address.bare_host().to_owned())
    }
}

fn certificates(option: &str, given: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = if given.trim_start().starts_with(PEM_BEGIN) {
        CertificateDer::pem_slice_iter(given.as_bytes()).collect::<Result<Vec<_>, _>>()
    } else {
        CertificateDer::pem_file_iter(Path::new(given)).and_then(Iterator::collect)
    };
    let found = found.map_err(|error| fault(option, given, &error))?;
    if found.is_empty() { Err(fault(option, given, &"no certificate is in it")) } else { Ok(found) }
}

fn private_key(given: &str) -> Result<PrivateKeyDer<'static>, Error> {
    let found = if given.trim_start().starts_with(PEM_BEGIN) {
        PrivateKeyDer::from_pem_slice(given.as_bytes())
    } else {
        PrivateKeyDer::from_pem_file(Path::new(given))
    };
    found.map_err(|error| fault("tls.key", given, &error))
}

/// The path of certificates is shown; what may be a key, or PEM, is not.
fn fault(option: &str, given: &str, what: &dyn fmt::Display) -> Error {
    let is_path = option != "tls.key" && !given.contains('\n') && given.len() < 256;
    let shown = if is_path { format!("{option}={given:?}") } else { option.to_owned() };
    let example = Dialect::of_host().example(option, "\"/etc/ssl/redis.pem\"");
    Error::config(format!(
        "{shown} cannot be read: {what}; it takes PEM or the path of a PEM file, a right example: {example}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_by_its_option_and_without_a_secret() {
        let message = |config: TlsConfig| Tls::new(&config).err().expect("wrong").message().to_owned();
        let told = message(TlsConfig { ca: Some("/nowhere/ca.pem".into()), ..TlsConfig::default() });
        assert!(told.starts_with("tls.ca=\"/nowhere/ca.pem\" cannot be read"), "{told}");
        let pem = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
        let told = message(TlsConfig { ca: Some(pem.into()), ..TlsConfig::default() });
        assert!(told.starts_with("tls.ca cannot be read") && !told.contains("c2Vj"), "{told}");
        let told = private_key("c2VjcmV0").expect_err("no key").message().to_owned();
        assert!(told.starts_with("tls.key cannot be read") && !told.contains("c2Vj"), "{told}");
    }
}
