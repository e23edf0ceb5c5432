//! monoio with the flags that it chooses.

use std::io;
use std::net::TcpListener;

use monoio::buf::IoBuf as _;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{BUFFER, ENTRIES};

pub(super) fn serve(listener: TcpListener) {
    let runtime = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(ENTRIES)
        .build();
    let served: io::Result<()> = runtime.expect("a runtime").block_on(async {
        let listener = monoio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            monoio::spawn(echo(stream));
        }
    });
    served.expect("connections");
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER as usize];
    loop {
        let (result, filled) = stream.read(buffer).await;
        let count = match result? {
            0 => return Ok(()),
            count => count,
        };
        let (result, sent) = stream.write_all(filled.slice(..count)).await;
        result?;
        buffer = sent.into_inner();
    }
}
