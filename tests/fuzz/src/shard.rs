//! One shard, all its peers and the clock.

use crate::input::Input;
use crate::peers::play;
use crate::world::World;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input, 1);
    play(&mut world, &mut input);
    world.finish();
}
