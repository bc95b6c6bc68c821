// The files that the guest holds fids of, as a tree of names like the kernel's dentries, and the
// bounded set of descriptors that stand behind them.
//
// A node is what a name led to when it was walked. It keeps an O_PATH descriptor, so that it stays
// that file when the name goes or leads elsewhere. When there are too many descriptors, those that
// were idle longest are closed; such a node is found again by its handle, or by its name when that
// still leads to the same file.
//
// Thread: the server's loop. Nodes are owned by the fids, and by the nodes below them. Renames and
// removals by the guest move and detach nodes; those by the host are seen at the next walk.
#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "devices/p9/host.h"

namespace vireo::p9 {

class Node;
class Tree;
using NodePtr = std::shared_ptr<Node>;

class Node : public std::enable_shared_from_this<Node> {
 public:
  Node(Tree& tree, NodePtr parent, std::string name, const FileId& id);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  const NodePtr& parent() const noexcept { return parent_; }  // nullptr: the root
  const std::string& name() const noexcept { return name_; }
  const FileId& id() const noexcept { return id_; }
  const std::optional<FileHandle>& handle() const noexcept { return handle_; }
  bool is_removed() const noexcept { return removed_; }

 private:
  friend Tree;
  void detach() noexcept;

  Tree& tree_;
  NodePtr parent_;
  std::string name_;
  FileId id_;
  bool removed_ = false;  // its name is another file's or nobody's
  std::unordered_map<std::string, Node*> children_;
  SharedFd fd_;  // none while closed; then not in the tree's list
  std::optional<FileHandle> handle_;
  std::list<Node*>::iterator place_{};
};

class Tree {
 public:
  // At most `descriptors` stay open besides the root's, and those in use. With `handles`, files of
  // the root's device can be opened by their handles.
  Tree(SharedFd root, const FileId& id, size_t descriptors, size_t nodes, bool handles);
  ~Tree();

  const NodePtr& root() const noexcept { return root_; }
  // The node that a walk led to, the one there is if it is the same file; nullptr: too many.
  // `fd` may be none when somebody else holds the file open.
  NodePtr child(const NodePtr& parent, const std::string& name, const FileId& id, SharedFd fd);
  // Its descriptor, or none when it is closed.
  SharedFd held(Node& node);
  void hold(Node& node, SharedFd fd);

  // What the guest did to names.
  void renamed(const NodePtr& from, const std::string& name, const NodePtr& to,
               const std::string& new_name);
  void removed(const NodePtr& directory, const std::string& name);

  size_t nodes() const noexcept { return count_; }
  size_t open_descriptors() const noexcept { return recent_.size(); }

 private:
  friend Node;
  void close_idle();
  void close(Node& node);
  static Node* find(const Node& parent, const std::string& name);

  const size_t max_descriptors_;
  const size_t max_nodes_;
  const bool handles_;
  size_t count_ = 0;
  std::list<Node*> recent_;  // those with a descriptor, last used first
  NodePtr root_;
};

}  // namespace vireo::p9
