//! Memory without slack.

/// Gives back what a vector has reserved beyond what it holds.
///
/// `shrink_to_fit` asks the allocator to shorten the block where it lies, and mimalloc then leaves
/// it as it is while it is at least half full: a vector that has grown by doubling would go on
/// taking up to twice its bytes, and no count of capacities would tell.
pub fn fit<T>(vec: &mut Vec<T>) {
    if vec.capacity() > vec.len() {
        let mut exact = Vec::with_capacity(vec.len());
        exact.append(vec);
        *vec = exact;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reserved_any_more() {
        let mut vec = Vec::with_capacity(100);
        vec.extend([1_u8, 2, 3]);
        let before = vec.as_ptr();
        fit(&mut vec);
        assert_eq!((vec.as_slice(), vec.capacity()), (&[1, 2, 3][..], 3));
        assert_ne!(vec.as_ptr(), before, "another block");
        let before = vec.as_ptr();
        fit(&mut vec);
        assert_eq!(vec.as_ptr(), before, "it fits already");
        let mut none = Vec::<u64>::with_capacity(4);
        fit(&mut none);
        assert_eq!(none.capacity(), 0);
    }
}
