#include "devices/p9/tree.h"

#include <linux/limits.h>

#include <utility>

namespace vireo::p9 {

// A node with its count of references, its entry among its parent's children, its handle, what the
// allocator adds to each, and the longest name, which a rename may give it.
size_t Node::cost() noexcept {
  constexpr size_t kEntry = 64, kHandle = 128, kAllocator = 48;
  return sizeof(Node) + kEntry + kHandle + kAllocator + NAME_MAX;
}

Node::Node(Tree& tree, const Place& place, const FileId& id, Budget::Part memory)
    : tree_(tree),
      parent_(place.directory),
      name_(place.name),
      id_(id),
      memory_(std::move(memory)) {
  if (parent_) attach();
  ++tree_.count_;
}

// The guest decides how deep a tree is: parents that nobody else needs go in a loop, not one inside
// the other.
Node::~Node() {
  --tree_.count_;
  if (fd_ && parent_) tree_.recent_.erase(recent_);
  detach();
  NodePtr up = std::move(parent_);
  while (up && up.use_count() == 1 && up->parent_) {
    up->detach();
    if (up->fd_) tree_.close(*up);
    NodePtr next = std::move(up->parent_);
    up = std::move(next);
  }
}

void Node::attach() {
  if (!parent_->children_) parent_->children_ = std::make_unique<Children>();
  parent_->children_->emplace(name_, this);
}

void Node::detach() noexcept {
  if (!parent_ || removed_) return;
  parent_->children_->erase(name_);
  removed_ = true;
}

Tree::Tree(SharedFd root, const FileId& id, size_t descriptors, Budget& memory, bool handles)
    : max_descriptors_(descriptors), handles_(handles), memory_(memory) {
  root_ = std::make_shared<Node>(*this, Place{}, id, Budget::Part());
  root_->fd_ = std::move(root);
}

Tree::~Tree() {
  root_.reset();
  VMM_CHECK(count_ == 0, "nodes go before their tree");
}

Node* Tree::find(const Place& place) {
  const auto& children = place.directory->children_;
  if (!children) return nullptr;
  const auto found = children->find(place.name);
  return found == children->end() ? nullptr : found->second;
}

Result<NodePtr> Tree::child(const Place& place, const FileId& id, SharedFd fd) {
  if (Node* const known = find(place)) {
    if (known->id_ == id) {
      NodePtr node = known->shared_from_this();
      if (!node->fd_ && fd) hold(*node, std::move(fd));
      return node;
    }
    known->detach();
  }
  auto memory = memory_.take(Node::cost());
  if (!memory) return Failure{ENOMEM};
  auto node = std::make_shared<Node>(*this, place, id, std::move(*memory));
  if (fd) hold(*node, std::move(fd));
  return node;
}

SharedFd Tree::held(Node& node) {
  if (node.fd_ && node.parent_) recent_.splice(recent_.begin(), recent_, node.recent_);
  return node.fd_;
}

void Tree::hold(Node& node, SharedFd fd) {
  if (node.fd_) return;
  node.fd_ = std::move(fd);
  recent_.push_front(&node);
  node.recent_ = recent_.begin();
  close_idle();
}

// From the end that was used longest ago, but for what is in use at this moment.
void Tree::close_idle() {
  auto at = recent_.end();
  size_t excess = recent_.size() > max_descriptors_ ? recent_.size() - max_descriptors_ : 0;
  while (excess > 0 && at != recent_.begin()) {
    Node& node = **--at;
    if (node.fd_.use_count() > 1 || at == recent_.begin()) continue;
    if (handles_ && node.id_.device == root_->id_.device) {
      auto handle = handle_of(node.fd_->get());
      if (handle) node.handle_ = std::make_shared<const FileHandle>(std::move(*handle));
    }
    ++at;
    close(node);
    --excess;
  }
}

void Tree::close(Node& node) {
  recent_.erase(node.recent_);
  node.fd_.reset();
}

void Tree::renamed(const Place& from, const Place& to) {
  Node* const moved = find(from);
  Node* const replaced = find(to);
  if (moved == replaced && moved != nullptr) return;
  if (replaced != nullptr) replaced->detach();
  if (moved == nullptr) return;
  moved->detach();
  // Renames under way at the same time may be told out of order: no node comes below itself.
  for (const Node* up = to.directory.get(); up != nullptr; up = up->parent_.get())
    if (up == moved) return;
  moved->removed_ = false;
  moved->parent_ = to.directory;
  moved->name_ = to.name;
  moved->attach();
}

void Tree::removed(const Place& place) {
  if (Node* const node = find(place)) node->detach();
}

}  // namespace vireo::p9
