//! Three shards: each datagram reaches any of them and is handed over to its owner.

use crate::input::Input;
use crate::peers::play;
use crate::world::World;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input, 3);
    play(&mut world, &mut input);
    world.finish();
}
