//! The strategies.

use super::*;

fn rules(strategy: Strategy) -> Rules {
    Rules { strategy, ..Rules::default() }
}

fn reserved(cpus: i64, memory: i64) -> Container {
    Container { cpus, memory, ..Container::default() }
}

#[test]
fn strategies_have_swarms_names() {
    assert_eq!("binpacking".parse(), Ok(Strategy::Binpack));
    assert_eq!("spread".parse(), Ok(Strategy::Spread));
    assert_eq!("random".parse(), Ok(Strategy::Random));
    assert_eq!("tight".parse::<Strategy>(), Err("strategy not supported"));
    assert_eq!("ports".parse::<Filter>(), Err("filter not supported"));
    assert_eq!("containerslots".parse(), Ok(Filter::ContainerSlots));
}

#[test]
fn spread_and_binpack_are_opposite_except_for_health_and_ties() {
    let anything = Request::default();
    assert_eq!(outcome(&rules(Strategy::Spread), &anything, &nodes()), "n2,n3,n0,n1");
    assert_eq!(outcome(&rules(Strategy::Binpack), &anything, &nodes()), "n0,n1,n2,n3");
    let mut ailing = nodes();
    ailing[0].health = Some(66);
    ailing[1].health = Some(66);
    assert_eq!(outcome(&rules(Strategy::Spread), &anything, &ailing), "n2,n3,n0,n1");
    assert_eq!(outcome(&rules(Strategy::Binpack), &anything, &ailing), "n2,n3,n0,n1");
}

#[test]
fn a_node_may_be_overcommitted_by_a_twentieth() {
    let nodes = [Node { memory: 100 << 30, ..node(0, &[]) }];
    let ask = |memory: i64| {
        outcome(&rules(Strategy::Spread), &Request { memory: memory << 30, ..Request::default() }, &nodes)
    };
    assert_eq!(ask(105), "n0");
    assert_eq!(ask(106), "ERR no resources available to schedule container");
    assert_eq!(ask(i64::MAX >> 30), "ERR no resources available to schedule container");
}

#[test]
fn binpack_prefers_the_fuller_node() {
    let used = |number: usize, gib: i64| Node {
        memory: 4 << 30,
        containers: vec![reserved(0, gib << 30)],
        ..node(number, &[])
    };
    let nodes = [used(0, 2), used(1, 3)];
    let ask =
        |strategy| outcome(&rules(strategy), &Request { memory: 1 << 30, ..Request::default() }, &nodes);
    assert_eq!(ask(Strategy::Binpack), "n1,n0");
    assert_eq!(ask(Strategy::Spread), "n0,n1");
}

#[test]
fn requests_with_sizes_are_spread_by_size_and_others_by_count() {
    let run = |cpus: i64| {
        let mut nodes = [Node { cpus: 20, ..node(0, &[]) }, Node { cpus: 40, ..node(1, &[]) }];
        for _ in 0..60 {
            let request = Request { cpus, ..Request::default() };
            let chosen = rules(Strategy::Spread).place(&request, &nodes, &mut |_| 0).expect("one fits")[0]
                .name
                .clone();
            let chosen = nodes.iter_mut().find(|node| node.name == chosen).expect("one of them");
            chosen.containers.push(reserved(cpus, 0));
        }
        nodes.map(|node| node.containers.len())
    };
    assert_eq!(run(0), [30, 30]);
    assert_eq!(run(1), [20, 40]);
}

#[test]
fn random_ignores_sizes() {
    let request = Request { memory: i64::MAX, ..Request::default() };
    let nodes = nodes();
    let mut first = std::collections::BTreeSet::new();
    for chance in 0..4 {
        let ranked =
            rules(Strategy::Random).place(&request, &nodes, &mut |below| chance % below).expect("any");
        assert_eq!(ranked.len(), 4);
        first.insert(ranked[0].name.clone());
    }
    assert!(first.len() > 1, "{first:?}");
}
