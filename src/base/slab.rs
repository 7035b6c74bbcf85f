//! Numbered places for a few hundred things of one type.

/// Things at numbered places; a place is used again after its thing was taken out.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Can a thing be put without asking the allocator?
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.places.len() < self.places.capacity()
    }

    /// Makes room for one more, in steps of an eighth.
    pub fn grow(&mut self) {
        if !self.has_room() {
            self.places.reserve_exact((self.places.len() / 8).max(4));
        }
    }

    /// Puts a thing; returns its place.
    pub fn put(&mut self, thing: T) -> u16 {
        match self.free.pop() {
            Some(place) => {
                if let Some(slot) = self.places.get_mut(usize::from(place)) {
                    *slot = Some(thing);
                }
                place
            }
            None => {
                self.places.push(Some(thing));
                (self.places.len() - 1) as u16
            }
        }
    }

    /// Takes a thing out.
    pub fn take(&mut self, place: u16) -> Option<T> {
        let thing = self.places.get_mut(usize::from(place))?.take();
        if thing.is_some() {
            self.free.push(place);
        }
        thing
    }

    /// The thing at a place.
    pub fn get(&self, place: u16) -> Option<&T> {
        self.places.get(usize::from(place))?.as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, place: u16) -> Option<&mut T> {
        self.places.get_mut(usize::from(place))?.as_mut()
    }

    /// Everything in it.
    pub fn into_things(self) -> impl Iterator<Item = T> {
        self.places.into_iter().flatten()
    }

    /// Bytes that it holds of the allocator, without what its things hold and the few of the
    /// list of free places, which change with every removal.
    pub fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<Option<T>>()
    }
}
