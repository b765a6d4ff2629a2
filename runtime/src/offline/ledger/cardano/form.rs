//! Whether bytes can be handed to readers that go as deep into the stack as the bytes go.

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

/// Items within items at most: reading goes as deep into the stack, and a transaction's own parts take about ten.
const MAX_DEPTH: usize = 128;

/// Why bytes are not read any further.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormError {
    #[error("it is no CBOR: {0}")]
    Cbor(#[from] Error),
    #[error("it holds items within items, more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("more bytes follow it")]
    More,
}

/// Checks that bytes are one item of CBOR, not too deep. What is wrapped in strings of bytes counts as well.
pub(super) fn check(bytes: &[u8]) -> Result<(), FormError> {
    walk(bytes, 0)
}

fn walk(bytes: &[u8], outer: usize) -> Result<(), FormError> {
    let mut cbor = Decoder::new(bytes);
    // Of each open item, how many are left in it; none where a break ends it.
    let mut open = vec![Some(1)];
    while let Some(left) = open.last_mut() {
        match left {
            Some(0) => {
                open.pop();
                continue;
            }
            Some(left) => *left -= 1,
            None if cbor.datatype()? == Type::Break => {
                cbor.skip()?;
                open.pop();
                continue;
            }
            None => {}
        }
        match cbor.datatype()? {
            Type::Array | Type::ArrayIndef => open.push(cbor.array()?),
            Type::Map | Type::MapIndef => open.push(cbor.map()?.map(|pairs| pairs.saturating_mul(2))),
            Type::Tag => {
                cbor.tag()?;
                wrapped(&cbor, outer + open.len())?;
                open.push(Some(1));
            }
            _ => cbor.skip()?,
        }
        if outer + open.len() > MAX_DEPTH {
            return Err(FormError::TooDeep);
        }
    }
    if cbor.position() == bytes.len() { Ok(()) } else { Err(FormError::More) }
}

/// Looks into a tagged string of bytes. What is no CBOR there is read no deeper than it is looked at here.
fn wrapped(cbor: &Decoder<'_>, outer: usize) -> Result<(), FormError> {
    match cbor.clone().bytes().map(|bytes| walk(bytes, outer)) {
        Ok(Err(FormError::TooDeep)) => Err(FormError::TooDeep),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Vec<u8> {
        [vec![0x81; depth - 1], vec![0x80]].concat()
    }

    #[test]
    fn items_may_be_as_deep_as_the_bound_and_no_deeper() {
        // The outermost frame counts as one.
        assert!(check(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(matches!(check(&nested(MAX_DEPTH)), Err(FormError::TooDeep)));
        assert!(matches!(check(&nested(1_000_000)), Err(FormError::TooDeep)));
        let endless = vec![0x9f; 1_000_000];
        assert!(matches!(check(&endless), Err(FormError::TooDeep)));
    }

    #[test]
    fn what_is_wrapped_in_bytes_counts() {
        for tag in [&[0xd8, 0x18][..], &[0xc2]] {
            let wrapped = |inner: Vec<u8>| {
                let mut bytes = tag.to_vec();
                minicbor::encode(minicbor::bytes::ByteVec::from(inner), &mut bytes).unwrap();
                bytes
            };
            assert!(check(&wrapped(nested(100))).is_ok());
            assert!(matches!(check(&wrapped(nested(MAX_DEPTH))), Err(FormError::TooDeep)));
            assert!(matches!(check(&wrapped(wrapped(nested(MAX_DEPTH)))), Err(FormError::TooDeep)));
            assert!(check(&wrapped(vec![0xff; 40])).is_ok());
        }
    }

    #[test]
    fn one_item_is_one_item() {
        assert!(matches!(check(&[0x80, 0x00]), Err(FormError::More)));
        for cut in [&[0x82, 0x00][..], &[], &[0xa1, 0x00], &[0x9f, 0x00], &[0x9b, 0xff, 0xff, 0xff, 0xff]] {
            assert!(matches!(check(cut), Err(FormError::Cbor(_))), "{cut:?}");
        }
        assert!(check(&[0xbf, 0x01, 0x9f, 0x02, 0xff, 0xff]).is_ok());
    }
}
