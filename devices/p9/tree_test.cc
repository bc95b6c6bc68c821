#include "devices/p9/tree.h"

#include <fcntl.h>
#include <linux/limits.h>

#include <catch2/catch.hpp>

#include "devices/p9/qid_map.h"

namespace vireo::p9 {
namespace {

SharedFd any_descriptor() {
  return share(UniqueFd(::open("/", O_PATH | O_CLOEXEC)));
}
FileId id(uint64_t inode) {
  return {1, inode, 0};
}

}  // namespace

TEST_CASE("the same file under the same name is the same node") {
  Budget memory(100'000);
  Tree tree(any_descriptor(), id(1), 10, memory, false);
  const NodePtr a = *tree.child({tree.root(), "a"}, id(2), nullptr);
  CHECK(*tree.child({tree.root(), "a"}, id(2), nullptr) == a);
  const NodePtr other = *tree.child({tree.root(), "a"}, id(3), nullptr);
  CHECK(other != a);
  CHECK(a->is_removed());
  CHECK(tree.nodes() == 3);
}

TEST_CASE("renames move nodes, and never below themselves") {
  Budget memory(100'000);
  Tree tree(any_descriptor(), id(1), 10, memory, false);
  const NodePtr a = *tree.child({tree.root(), "a"}, id(2), nullptr);
  const NodePtr b = *tree.child({tree.root(), "b"}, id(3), nullptr);
  tree.renamed({tree.root(), "a"}, {b, "c"});
  CHECK(a->parent() == b);
  CHECK(a->place().name == "c");
  tree.renamed({tree.root(), "b"}, {a, "d"});  // told out of order
  CHECK(b->is_removed());
  CHECK(b->parent() == tree.root());
  tree.renamed({b, "c"}, {b, "c"});
  CHECK_FALSE(a->is_removed());
  tree.removed({b, "c"});
  CHECK(a->is_removed());
}

TEST_CASE("the descriptors of idle nodes are closed, those in use are not") {
  Budget memory(100'000);
  Tree tree(any_descriptor(), id(1), 3, memory, false);
  std::vector<NodePtr> nodes;
  const SharedFd used = any_descriptor();
  nodes.push_back(*tree.child({tree.root(), "used"}, id(2), used));
  for (uint64_t i = 0; i < 10; ++i)
    nodes.push_back(*tree.child({tree.root(), std::to_string(i)}, id(10 + i), any_descriptor()));
  CHECK(tree.open_descriptors() == 3);
  CHECK(tree.held(*nodes.front()) == used);
  CHECK(tree.held(*nodes.back()));
  CHECK_FALSE(tree.held(*nodes[1]));
  CHECK(tree.held(*tree.root()));
}

TEST_CASE("nodes take no more memory than there is, and a deep tree goes without a deep stack") {
  constexpr size_t kMany = 200'000;
  Budget memory(kMany * Node::cost());
  Tree tree(any_descriptor(), id(1), 3, memory, false);
  {
    NodePtr node = tree.root();
    for (uint64_t i = 0; i < kMany; ++i) node = *tree.child({node, "d"}, id(2 + i), nullptr);
    CHECK(tree.child({node, "d"}, id(kMany + 9), nullptr).error() == ENOMEM);
    CHECK(tree.nodes() == kMany + 1);
  }
  CHECK(tree.nodes() == 1);
  CHECK(memory.taken() == 0);
}

TEST_CASE("renames to longer names take no memory that was not counted") {
  constexpr size_t kMany = 50;
  Budget memory(1 << 20);
  Tree tree(any_descriptor(), id(1), 3, memory, false);
  std::vector<NodePtr> nodes;
  for (uint64_t i = 0; i < kMany; ++i) {
    const std::string name = std::to_string(100 + i);
    nodes.push_back(*tree.child({tree.root(), name}, id(2 + i), nullptr));
    tree.renamed({tree.root(), name}, {tree.root(), name + std::string(NAME_MAX - 3, 'n')});
  }
  CHECK(memory.taken() >= kMany * (sizeof(Node) + NAME_MAX));
}

TEST_CASE("what is taken from a budget comes back once") {
  Budget budget(10);
  {
    auto some = budget.take(6);
    REQUIRE(some);
    CHECK_FALSE(budget.take(5));
    some->shrink(4);
    some->shrink(9);  // it cannot grow
    CHECK(budget.taken() == 4);
    Budget::Part other = std::move(*some);
    other = *budget.take(3);
    CHECK(budget.taken() == 3);
  }
  CHECK(budget.taken() == 0);
}

TEST_CASE("qid paths tell devices apart") {
  QidMap map(7);
  CHECK(*map.path_of(7, 42) == 42);
  const uint64_t other = *map.path_of(8, 42);
  CHECK(other != 42);
  CHECK(*map.path_of(8, 42) == other);
  CHECK(*map.path_of(7, (uint64_t{1} << 60) | 42) != 42);
  CHECK(*map.path_of(9, 42) != other);
  for (uint64_t device = 100; device < 100 + (1 << 16) - 4; ++device) CHECK(map.path_of(device, 1));
  CHECK(map.path_of(1, 1).error() == ENFILE);
  CHECK(*map.path_of(8, 42) == other);
}

}  // namespace vireo::p9
