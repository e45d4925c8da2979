//! How an S3-compatible bucket is reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use crate::store::{StoreError, StoreKey};

/// Where the access key comes from. Never from the configuration file itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum S3Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`; failing these what the machine itself is
    /// given (web identity, container, instance).
    Environment,
    /// Files that hold nothing but the value; white space around it is dropped. Read when the store is opened.
    Files {
        /// The access key id.
        access_key: PathBuf,
        /// The secret access key.
        secret_key: PathBuf,
    },
}

/// How an S3-compatible bucket is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Options {
    /// The bucket.
    pub bucket: String,
    /// What stands before every object's name inside the bucket, without `/` at either end; `None` for the whole
    /// bucket.
    pub prefix: Option<StoreKey>,
    /// `https://host[:port]` of the server; `None` for AWS.
    pub endpoint: Option<String>,
    /// The region; `None` for what the environment says, or `us-east-1`.
    pub region: Option<String>,
    /// Whether plain `http://` is allowed: on a trusted network or for tests.
    pub allow_http: bool,
    /// Whether the bucket is named in the host (`bucket.host`) and not in the path.
    pub virtual_hosted: bool,
    /// Whether a SHA-256 goes with every upload, which the server checks. Off for servers that do not know it.
    pub send_sha256: bool,
    /// Where the access key comes from.
    pub credentials: S3Credentials,
    /// Connecting takes at most this long.
    pub connect_timeout: Duration,
    /// A request, its body included, takes at most this long. A part has 16 MiB.
    pub request_timeout: Duration,
    /// How often a request that may be repeated is repeated.
    pub retries: usize,
    /// No repetition begins later than this after the first try.
    pub retry_timeout: Duration,
}

impl S3Options {
    /// A bucket with every default: AWS, whole bucket, credentials from the environment.
    #[must_use]
    pub fn bucket(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            prefix: None,
            endpoint: None,
            region: None,
            allow_http: false,
            virtual_hosted: false,
            send_sha256: true,
            credentials: S3Credentials::Environment,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(120),
            retries: 3,
            retry_timeout: Duration::from_secs(60),
        }
    }

    /// A client that repeats what may be repeated up to `retries` times.
    pub(super) fn client(&self, name: &str, retries: usize) -> Result<AmazonS3, StoreError> {
        let client = ClientOptions::new()
            .with_allow_http(self.allow_http)
            .with_connect_timeout(self.connect_timeout)
            .with_timeout(self.request_timeout);
        let retry =
            RetryConfig { backoff: BackoffConfig::default(), max_retries: retries, retry_timeout: self.retry_timeout };
        let mut builder = self.with_credentials(name)?;
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if self.send_sha256 {
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        let built = builder
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_allow_http(self.allow_http)
            .with_client_options(client)
            .with_retry(retry)
            // One request for each object: a bulk delete has as many outcomes as objects, and not every server has it.
            .with_disable_bulk_delete(true)
            .build();
        built.map_err(|error| self.refused(name, format!("its settings make no client: {error}")))
    }

    fn with_credentials(&self, name: &str) -> Result<AmazonS3Builder, StoreError> {
        match &self.credentials {
            S3Credentials::Environment => Ok(AmazonS3Builder::from_env()),
            S3Credentials::Files { access_key, secret_key } => Ok(AmazonS3Builder::new()
                .with_access_key_id(self.secret(name, access_key)?)
                .with_secret_access_key(self.secret(name, secret_key)?)),
        }
    }

    fn secret(&self, name: &str, file: &Path) -> Result<String, StoreError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| self.refused(name, format!("{} cannot be read: {error}", file.display())))?;
        let value = text.trim();
        if value.is_empty() || value.len() > 1024 || value.contains(char::is_whitespace) {
            return Err(self.refused(name, format!("{} holds no key: one word is expected", file.display())));
        }
        Ok(value.to_owned())
    }

    fn refused(&self, name: &str, found: String) -> StoreError {
        StoreError::Identity {
            store: name.to_owned(),
            found: format!("bucket {}: {found}", self.bucket),
            advice: "mend the settings of this store".to_owned(),
        }
    }
}
