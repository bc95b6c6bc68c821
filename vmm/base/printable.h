// Text of others (a guest's, an image's, a peer's, the user's) as a terminal may get it: one line,
// without anything that moves the cursor, changes colours, answers for the keyboard or turns the
// order of letters around. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vireo {

// The length of the UTF-8 sequence at the start of `text`, which is not empty; 0 when there is none
// (RFC 3629, 4).
size_t utf8_length(std::string_view text) noexcept;
// What a sequence stands for, whose length utf8_length() gave.
char32_t code_point(std::string_view sequence) noexcept;
// Controls (C0, DEL, C1), ends of lines and the marks that set the direction of text (UAX 9, 2).
bool is_control(char32_t code_point) noexcept;

// The text with each byte of a control, and of what is no UTF-8, as \xNN.
std::string printable(std::string_view text);

}  // namespace vireo
