// The files that the guest holds fids of, as a tree of names like the kernel's dentries, and the
// bounded set of descriptors that stand behind them.
//
// A node is what a name led to when it was walked. It keeps an O_PATH descriptor, so that it stays
// that file when the name goes or leads elsewhere. When there are too many descriptors, those that
// were idle longest are closed; such a node is found again by its handle, or by its name when that
// still leads to the same file.
//
// Thread: the server's loop. Nodes are owned by the fids, and by the nodes below them. Renames and
// removals by the guest move and detach nodes; those by the host are seen at the next walk. What
// they can change is given by value, and what belongs together in one call: a request that waits
// for the host has it as it was.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "devices/p9/budget.h"
#include "devices/p9/host.h"

namespace vireo::p9 {

class Node;
class Tree;
using NodePtr = std::shared_ptr<Node>;
using HandlePtr = std::shared_ptr<const FileHandle>;

// Where a node is: its name in a directory. No directory: it is the root.
struct Place {
  NodePtr directory{};
  std::string name{};
};

class Node : public std::enable_shared_from_this<Node> {
 public:
  Node(Tree& tree, const Place& place, const FileId& id, Budget::Part memory);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  NodePtr parent() const noexcept { return parent_; }  // nullptr: the root
  Place place() const { return {parent_, name_}; }
  const FileId& id() const noexcept { return id_; }
  HandlePtr handle() const noexcept { return handle_; }
  bool is_root() const noexcept { return parent_ == nullptr; }
  bool is_removed() const noexcept { return removed_; }

  // Bytes that one takes at most, whatever its name is and becomes.
  static size_t cost() noexcept;

 private:
  friend Tree;
  using Children = std::map<std::string_view, Node*>;  // by their own names
  void attach();
  void detach() noexcept;

  Tree& tree_;
  NodePtr parent_;
  std::string name_;
  const FileId id_;
  const Budget::Part memory_;
  bool removed_ = false;                // its name is another file's or nobody's
  std::unique_ptr<Children> children_;  // none: it had none yet
  SharedFd fd_;                         // none while closed; then not in the tree's list
  HandlePtr handle_;
  std::list<Node*>::iterator recent_{};
};

class Tree {
 public:
  // At most `descriptors` stay open besides the root's, and those in use; the nodes' memory is
  // taken from `memory`, which outlives the tree. With `handles`, files of the root's device can be
  // opened by their handles.
  Tree(SharedFd root, const FileId& id, size_t descriptors, Budget& memory, bool handles);
  ~Tree();

  const NodePtr& root() const noexcept { return root_; }
  // The node that a walk led to, the one there is if it is the same file. ENOMEM: there are too
  // many. `fd` may be none when somebody else holds the file open.
  Result<NodePtr> child(const Place& place, const FileId& id, SharedFd fd);
  // Its descriptor, or none when it is closed.
  SharedFd held(Node& node);
  void hold(Node& node, SharedFd fd);

  // What the guest did to names.
  void renamed(const Place& from, const Place& to);
  void removed(const Place& place);

  size_t nodes() const noexcept { return count_; }
  size_t open_descriptors() const noexcept { return recent_.size(); }

 private:
  friend Node;
  void close_idle();
  void close(Node& node);
  static Node* find(const Place& place);

  const size_t max_descriptors_;
  const bool handles_;
  Budget& memory_;
  size_t count_ = 0;
  std::list<Node*> recent_;  // those with a descriptor, last used first
  NodePtr root_;
};

}  // namespace vireo::p9
