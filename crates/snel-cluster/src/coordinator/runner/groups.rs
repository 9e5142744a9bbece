//! What members of a group are told: how to find each other, and what to sum.

use snel_core::chunks::ChunkSet;
use snel_proto::v1;
use snel_proto::v1::work_response::Message;

use super::Runner;
use crate::machine::{GroupId, MemberId};
use crate::wire;

impl Runner {
    /// Sends the id that came for this group to its members.
    pub(super) fn join_group(&mut self, group: GroupId, members: &[MemberId]) {
        let Some((_, id)) = self.group_id.take_if(|(of, _)| *of == group) else { return };
        let world = members.len() as u32;
        for (rank, &member) in (0..).zip(members) {
            let group = v1::Group { group: group.0, id: id.clone(), rank, world };
            self.send(member, Message::Group(group));
        }
    }

    /// Sends each member of a group all shares, and which of them is its own.
    pub(super) fn reduce(
        &self,
        group: GroupId,
        round: v1::Round,
        assigned: &[(MemberId, ChunkSet)],
    ) {
        let share =
            |(_, chunks): &(_, ChunkSet)| v1::Share { chunks: wire::chunks_to_wire(chunks) };
        let shares: Vec<v1::Share> = assigned.iter().map(share).collect();
        for ((member, _), share) in assigned.iter().zip(&shares) {
            let compute = v1::Compute {
                round: Some(round),
                chunks: share.chunks.clone(),
                group: group.0,
                shares: shares.clone(),
            };
            self.send(*member, Message::Compute(compute));
        }
    }
}
