#include "devices/p9/tree.h"

#include <utility>

namespace vireo::p9 {

Node::Node(Tree& tree, NodePtr parent, std::string name, const FileId& id)
    : tree_(tree), parent_(std::move(parent)), name_(std::move(name)), id_(id) {
  if (parent_) parent_->children_.emplace(name_, this);
  ++tree_.count_;
}

// The guest decides how deep a tree is: parents that nobody else needs go in a loop, not one inside
// the other.
Node::~Node() {
  --tree_.count_;
  if (fd_ && parent_) tree_.recent_.erase(place_);
  detach();
  NodePtr up = std::move(parent_);
  while (up && up.use_count() == 1 && up->parent_) {
    up->detach();
    if (up->fd_) tree_.close(*up);
    NodePtr next = std::move(up->parent_);
    up = std::move(next);
  }
}

void Node::detach() noexcept {
  if (!parent_ || removed_) return;
  parent_->children_.erase(name_);
  removed_ = true;
}

Tree::Tree(SharedFd root, const FileId& id, size_t descriptors, size_t nodes, bool handles)
    : max_descriptors_(descriptors), max_nodes_(nodes), handles_(handles) {
  root_ = std::make_shared<Node>(*this, nullptr, "", id);
  root_->fd_ = std::move(root);
}

Tree::~Tree() {
  root_.reset();
  VMM_CHECK(count_ == 0, "nodes go before their tree");
}

Node* Tree::find(const Node& parent, const std::string& name) {
  const auto found = parent.children_.find(name);
  return found == parent.children_.end() ? nullptr : found->second;
}

NodePtr Tree::child(const NodePtr& parent, const std::string& name, const FileId& id, SharedFd fd) {
  if (Node* const known = find(*parent, name)) {
    if (known->id_ == id) {
      NodePtr node = known->shared_from_this();
      if (!node->fd_ && fd) hold(*node, std::move(fd));
      return node;
    }
    known->detach();
  }
  if (count_ >= max_nodes_) return nullptr;
  auto node = std::make_shared<Node>(*this, parent, name, id);
  if (fd) hold(*node, std::move(fd));
  return node;
}

SharedFd Tree::held(Node& node) {
  if (node.fd_ && node.parent_) recent_.splice(recent_.begin(), recent_, node.place_);
  return node.fd_;
}

void Tree::hold(Node& node, SharedFd fd) {
  if (node.fd_) return;
  node.fd_ = std::move(fd);
  recent_.push_front(&node);
  node.place_ = recent_.begin();
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
      if (handle) node.handle_ = std::move(*handle);
    }
    ++at;
    close(node);
    --excess;
  }
}

void Tree::close(Node& node) {
  recent_.erase(node.place_);
  node.fd_.reset();
}

void Tree::renamed(const NodePtr& from, const std::string& name, const NodePtr& to,
                   const std::string& new_name) {
  Node* const moved = find(*from, name);
  Node* const replaced = find(*to, new_name);
  if (moved == replaced && moved != nullptr) return;
  if (replaced != nullptr) replaced->detach();
  if (moved == nullptr) return;
  moved->detach();
  // Renames under way at the same time may be told out of order: no node comes below itself.
  for (const Node* up = to.get(); up != nullptr; up = up->parent_.get())
    if (up == moved) return;
  moved->removed_ = false;
  moved->parent_ = to;
  moved->name_ = new_name;
  to->children_.emplace(new_name, moved);
}

void Tree::removed(const NodePtr& directory, const std::string& name) {
  if (Node* const node = find(*directory, name)) node->detach();
}

}  // namespace vireo::p9
