//! Agreement while a tenth of the messages is lost and the others come in any order.

use super::each_seed;

#[test]
fn unreliable_agreement() {
    each_seed(0..10, 5, |group| {
        group.set_unreliable();
        let mut meanwhile = Vec::new();
        for _ in 1..50 {
            for _ in 0..4 {
                let command = group.command(8);
                meanwhile.push(group.begin(command, 1, true));
            }
            group.glance(&mut meanwhile);
            group.one_with_retries(1);
        }
        group.all_agree(meanwhile);
        group.set_reliable();
        group.one_with_retries(5);
    });
}
